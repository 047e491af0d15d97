#!/usr/bin/env python3
"""Score explanations: metrics.csv (a row per clip and method), summary.csv, table.md, samples/
and gallery/index.html, a page to look at and listen to them.

    python eval_explanations.py hparams/evaluation.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best \
        --lmac_checkpoint=results/lmac/stft/1234/best

Goes on from the rows that are there; a method added later is the only one computed.
"""

if __name__ == "__main__":
    from lmac.settings.cli import dispatch

    # What is wrong is said before torch is imported, which takes seconds.
    raise SystemExit(dispatch("evaluate"))

import speechbrain as sb

from lmac.evaluation.brain import EvaluationBrain
from lmac.evaluation.folder import EvaluationFolder
from lmac.evaluation.report import write_report
from lmac.evaluation.setup import EvaluationSetup
from lmac.io.once import once
from lmac.io.processes import count
from lmac.io.provenance import complete
from lmac.pages.gallery import write_gallery
from lmac.settings.dry_run import dry_runnable
from lmac.settings.load import load_experiment


@dry_runnable
def main(argv):
    # Rows know what they were computed with, so settings may change between two calls.
    hparams, run_opts = load_experiment(argv, goes_on=False)
    setting = EvaluationSetup(hparams, run_opts)
    methods, scenario = setting.methods, setting.scenario
    folder = EvaluationFolder(hparams["output_folder"])
    folder.begin(setting.shared, methods)
    once(folder.keep_manifest, hparams["scenario_manifest"])
    fresh = any(folder.missing(method, scenario["ID"]) for method in methods)
    if count() > len(scenario):
        raise ValueError(
            f"torchrun started {count()} processes for {len(scenario)} clips: start fewer."
        )
    every = max(1, len(scenario) // max(1, hparams["listen"]))
    brain = EvaluationBrain(
        setting.explained,
        setting.interpreters,
        folder,
        setting.labels,
        hparams["scenario"],
        set(scenario["ID"][::every][: hparams["listen"]]),
        hparams["seed"],
        hparams=hparams,
        run_opts=run_opts,
    )
    brain.evaluate(
        setting.dataset,
        test_loader_kwargs={
            "batch_size": hparams["batch_size"],
            "num_workers": hparams["num_workers"],
        },
    )
    folder.finish(hparams["interpreters"])
    if sb.utils.distributed.if_main_process():
        print(write_report(folder, hparams, setting.classifier_info, brain.device, fresh))
        complete(hparams, brain.device, hparams["scenario_manifest"])
        print(f"Rows, table and manifest: {folder.path}")
        samples = [path for clip in folder.clips() for path in clip.folders.values()]
        for path in sorted(p for s in samples if s.name == "L-MAC" for p in s.iterdir())[:12]:
            print(f"  {path}")
        if samples:
            print(f"Gallery, to be opened in a browser: {write_gallery([folder.path])}")
        else:
            print("No gallery: --listen=0 wrote no audio or pictures.")
