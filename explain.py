#!/usr/bin/env python3
"""Explain what a trained classifier heard in one audio file.

    python explain.py hparams/explain.yaml --audio=dog.wav --methods=[L-MAC,Saliency] \
        --classifier_checkpoint=results/classifier/1234/best \
        --lmac_checkpoint=results/lmac/stft/1234/best

Writes <output_folder>/<name of the file>/<method>/: explanation.wav, removed.wav and input.wav,
explanation.png and explanation.json. --explain_class=dog asks for another class than the
classifier's own decision.
"""

from pathlib import Path

import speechbrain as sb

from lmac.config import load_experiment, run
from lmac.listen.explainer import Explainer


def main(argv):
    hparams, run_opts = load_experiment(argv, goes_on=False)
    if not hparams["audio"]:
        raise ValueError("audio is not set: give the file to explain, --audio=/path/to/file.")
    device = run_opts.device or sb.utils.distributed.infer_device()
    explainer = Explainer.from_hparams(hparams, device=device)
    folder = Path(hparams["output_folder"]) / Path(hparams["audio"]).stem
    methods = hparams["methods"]
    for method in [methods] if isinstance(methods, str) else methods:
        result = explainer.explain_file(hparams["audio"], method, hparams["explain_class"])
        result.write(folder / method)
        print(result)
        print(f"  {folder / method}")


if __name__ == "__main__":
    run(main, __doc__)
