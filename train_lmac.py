#!/usr/bin/env python3
"""Train the L-MAC decoder of a frozen classifier.

    python train_lmac.py hparams/lmac.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best

Fine-tunes a trained decoder towards the clean source (stage 2):

    python train_lmac.py hparams/lmac_finetune.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best \
        --finetune_from=results/lmac/stft/1234/best

Trains a class-conditional decoder, which explains any class:

    python train_lmac.py hparams/lmac_conditional.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best

Trains LMAC-ZS, for a zero-shot classifier, whose classes are prompts:

    python train_lmac.py hparams/lmac_zero_shot.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best \
        --prompts="a dog barking, rain falling"

Resumes where it was killed. The checkpoint with the lowest loss on valid_folds ends up in
<output_folder>/best.
"""

if __name__ == "__main__":
    from lmac.settings.cli import dispatch

    # What is wrong is said before torch is imported, which takes seconds.
    raise SystemExit(dispatch("train-lmac"))

import speechbrain as sb

from lmac.checkpoints import explained_classifier
from lmac.io.provenance import complete
from lmac.settings.dry_run import dry_runnable
from lmac.settings.load import load_experiment
from lmac.training.lmac import train_decoder


@dry_runnable
def main(argv):
    hparams, run_opts = load_experiment(argv)
    brain = train_decoder(explained_classifier(hparams), hparams, run_opts)
    if sb.utils.distributed.if_main_process():
        if not brain.exports:
            print("A debugging run: nothing is kept.")
            return
        complete(hparams, brain.device)
        print(f"Decoder: {hparams['output_folder']}/best")
