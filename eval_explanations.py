#!/usr/bin/env python3
"""Score explanations: metrics.csv (a row per clip and method), summary.csv, table.md, samples/
and gallery/index.html, a page to look at and listen to them.

    python eval_explanations.py hparams/evaluation.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best \
        --lmac_checkpoint=results/lmac/stft/1234/best

Goes on from the rows that are there; a method added later is the only one computed.
"""

import hashlib
from pathlib import Path

import speechbrain as sb

from data_prep.dataset import prepare
from data_prep.scenarios import scenario_clips
from lmac.checkpoints import class_names, explained_classifier, training_infos, weights_digest
from lmac.config import load_experiment, run
from lmac.listen.gallery import write_gallery
from lmac.results.evaluation import EvaluationBrain, Rows
from lmac.results.report import write_report
from lmac.results.scoring import get_interpreters


def main(argv):
    # Rows know what they were computed with, so settings may change between two calls.
    hparams, run_opts = load_experiment(argv, goes_on=False)
    manifest, labels = prepare(hparams)
    labels = class_names(hparams["classifier_checkpoint"], labels, hparams["embedding_model"])
    trained = training_infos(hparams)
    scenario, dataset = scenario_clips(hparams, manifest, labels, trained)

    device = run_opts.device or sb.utils.distributed.infer_device()
    explained = explained_classifier(hparams).to(device)
    interpreters = get_interpreters(hparams["interpreters"], hparams["methods"], explained)
    folder = Path(hparams["output_folder"])
    setting = {
        "scenario": hparams["scenario"],
        "domain": explained.domain.description,
        "manifest": hashlib.sha256(Path(hparams["scenario_manifest"]).read_bytes()).hexdigest()[
            :12
        ],
        "classifier": weights_digest(explained.classifier),
        "signal_length_s": hparams["signal_length_s"],
    }
    rows = Rows(folder, setting, {name: i.description for name, i in interpreters.items()})
    every = max(1, len(scenario) // max(1, hparams["listen"]))
    brain = EvaluationBrain(
        explained,
        interpreters,
        rows,
        labels,
        hparams["scenario"],
        set(scenario["ID"][::every][: hparams["listen"]]),
        folder / "samples",
        hparams["seed"],
        hparams=hparams,
        run_opts=run_opts,
    )
    brain.evaluate(
        dataset,
        test_loader_kwargs={
            "batch_size": hparams["batch_size"],
            "num_workers": hparams["num_workers"],
        },
    )
    if sb.utils.distributed.if_main_process():
        known = trained["classifier_checkpoint"]
        print(write_report(rows.table(hparams["interpreters"]), hparams, known, brain.device))
        print(f"Rows, table and manifest: {folder}")
        for path in sorted((folder / "samples").glob("*/L-MAC/*"))[:12]:
            print(f"  {path}")
        if any((folder / "samples").glob("*/*/*")):
            print(f"Gallery, to be opened in a browser: {write_gallery([folder])}")
        else:
            print("No gallery: --listen=0 wrote no audio or pictures.")


if __name__ == "__main__":
    run(main, __doc__)
