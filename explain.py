#!/usr/bin/env python3
"""Explain what a trained classifier heard in one audio file.

    python explain.py hparams/explain.yaml --audio=dog.wav --methods=[L-MAC,Saliency] \
        --classifier_checkpoint=results/classifier/1234/best \
        --lmac_checkpoint=results/lmac/stft/1234/best

Writes <output_folder>/<file>/<method>/: explanation.wav, removed.wav and input.wav,
explanation.png and explanation.json. --explain_class=dog or --explain_class=[dog,rain] asks for
other classes than the classifier's own decision, in "<method>, asked <class>/"; for several, one
picture beside these folders shows what each method keeps for each of them.
"""

from itertools import product
from pathlib import Path

import speechbrain as sb

from data_prep.names import safe_name
from lmac.commands import one_process
from lmac.config import load_experiment, run
from lmac.listen.explainer import Explainer
from lmac.listen.explanation import draw_questions


def main(argv):
    one_process("explain.py")
    hparams, run_opts = load_experiment(argv, goes_on=False)
    if not hparams["audio"]:
        raise ValueError("audio is not set: give the file to explain, --audio=/path/to/file.")
    methods = _listed(hparams["methods"])
    classes = [None if c is None else str(c) for c in _listed(hparams["explain_class"])]
    device = run_opts.device or sb.utils.distributed.infer_device()
    explainer = Explainer.from_hparams(hparams, device=device)
    for method, asked in product(methods, classes):
        explainer.check(method, asked)
    recording = explainer.read(hparams["audio"])
    folder = Path(hparams["output_folder"]) / safe_name(Path(hparams["audio"]).name)
    for method in methods:
        results = []
        for asked in classes:
            result = explainer.explain_recording(recording, method, asked)
            result.write(folder / result.folder)
            print(result)
            print(f"  {folder / result.folder}")
            results.append(result)
        if len(results) > 1:
            picture = folder / f"{safe_name(method)}, {len(results)} classes.png"
            draw_questions(results, picture)
            print(f"One sound, {len(results)} questions: {picture}")


def _listed(value):
    """One name or a list of them, as a list, each once."""
    return list(dict.fromkeys(value if isinstance(value, list) else [value]))


if __name__ == "__main__":
    run(main, __doc__)
