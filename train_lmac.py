#!/usr/bin/env python3
"""Train the L-MAC decoder of a frozen classifier.

    python train_lmac.py hparams/lmac.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best

Fine-tunes a trained decoder towards the clean source (stage 2):

    python train_lmac.py hparams/lmac_finetune.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best \
        --finetune_from=results/lmac/stft/1234/best

Resumes where it was killed. The checkpoint with the lowest loss on valid_folds ends up in
<output_folder>/best.
"""

import math
from pathlib import Path

import speechbrain as sb

from data_prep.dataset import fold_datasets, prepare
from data_prep.leaks import warn_of_training_leaks
from lmac.brains.decoder import DecoderBrain
from lmac.checkpoints import (
    build_decoder,
    decoder_file,
    explained_classifier,
    load_decoder,
    weights_digest,
)
from lmac.config import load_experiment, run


def main(argv):
    hparams, run_opts = load_experiment(argv)
    manifest, labels = prepare(hparams)
    datasets = fold_datasets(hparams, manifest, labels, ("train", "valid"))
    warn_of_training_leaks(manifest, hparams, ("valid",))
    loader = {"batch_size": hparams["batch_size"], "num_workers": hparams["num_workers"]}
    hparams["steps_per_epoch"] = math.ceil(len(datasets["train"]) / hparams["batch_size"])
    explained = explained_classifier(hparams)
    decoder = build_decoder(hparams["decoder"], explained)
    if hparams["l_guidance"] > 0:
        key = "finetune_from"
        load_decoder(decoder, explained, decoder_file(hparams[key], key), key)
    hparams["checkpointer"].add_recoverable("decoder", decoder)

    brain = DecoderBrain(
        explained,
        modules={"decoder": decoder},
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    brain.fit_and_test(datasets, loader)
    if sb.utils.distributed.if_main_process():
        keys = ["domain", "seed", "l_in", "l_out", "l_sparse", "l_guidance"]
        if hparams["l_guidance"] > 0:
            keys += ["finetune_from", "guidance", "cc_th", "bin_th"]
        info = {key: hparams[key] for key in keys}
        info |= {"epochs": hparams["number_of_epochs"], "valid": brain.test_stats}
        info["classifier_weights"] = weights_digest(explained.classifier)
        best = Path(hparams["output_folder"]) / "best"
        brain.export(best, info)
        print(f"Decoder: {best}")


if __name__ == "__main__":
    run(main, __doc__)
