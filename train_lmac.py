#!/usr/bin/env python3
"""Train the L-MAC decoder of a frozen classifier.

    python train_lmac.py hparams/lmac.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best

Fine-tunes a trained decoder towards the clean source (stage 2):

    python train_lmac.py hparams/lmac_finetune.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best \
        --finetune_from=results/lmac/stft/1234/best

Trains a decoder that can be asked for any class:

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

from pathlib import Path

import speechbrain as sb

from lmac.checkpoints import (
    build_decoder,
    decoder_facts,
    decoder_file,
    explained_classifier,
    explained_facts,
    labels_of,
    load_decoder,
    training_facts,
)
from lmac.io.processes import device_of
from lmac.io.provenance import complete
from lmac.settings.dry_run import dry_runnable
from lmac.settings.load import load_experiment
from lmac.training.brain import explainer_datasets, train_explainer
from lmac.training.conditional import ConditionalBrain
from lmac.training.lmac import DecoderBrain
from lmac.training.zero_shot import ZeroShotBrain, require_prompts
from lmac.transfer import transfer_classifiers


@dry_runnable
def main(argv):
    hparams, run_opts = load_experiment(argv)
    asked = hparams["target_classes"] is not None
    if asked and (not hparams["decoder_conditioned"] or hparams["l_guidance"] > 0):
        raise ValueError(
            "target_classes is for a decoder that is told the class, in one stage: leave "
            "decoder_conditioned True and l_guidance 0, or take hparams/lmac.yaml."
        )
    # Whatever may be missing is named before audio is decoded.
    explained = explained_classifier(hparams)
    decoder = build_decoder(hparams["decoder"], explained)
    key = "finetune_from"
    if hparams[key] is not None or hparams["l_guidance"] > 0:
        load_decoder(decoder, explained, decoder_file(hparams[key], key), key)
    brain_class = ConditionalBrain if asked else DecoderBrain
    if hparams["prompts_per_sound"] is not None:
        require_prompts(explained)
        brain_class = ZeroShotBrain
    options = {}
    if hparams["transfer_classifiers"]:
        if brain_class is ZeroShotBrain:
            raise ValueError(
                "transfer_classifiers are not for a zero-shot classifier: their classes are no "
                "prompts. Leave them out."
            )
        device = device_of(run_opts)
        labels = labels_of(explained.classifier, hparams["classifier_checkpoint"])
        options["others"] = transfer_classifiers(
            hparams["transfer_classifiers"], explained.to(device), labels, device
        )
    datasets = explainer_datasets(hparams)
    brain = train_explainer(
        brain_class, explained, {"decoder": decoder}, datasets, hparams, run_opts, **options
    )
    if sb.utils.distributed.if_main_process():
        keys = ["l_in", "l_out", "out_share", "l_sparse", "l_guidance"]
        if asked:
            keys += [
                "l_absent",
                "l_leak",
                "l_energy",
                "absent_sparsity",
                "presence_threshold",
                "prior_weight",
            ]
            keys += ["target_decision", "target_source", "target_probable"]
        if brain_class is ZeroShotBrain:
            keys += ["l_similarity", "prompts_per_sound", "prompts"]
        if hparams["finetune_from"] is not None:
            keys += ["finetune_from"]
        if hparams["l_guidance"] > 0:
            keys += ["guidance", "cc_th", "bin_th"]
        info = training_facts(hparams, explained.domain, *keys)
        info |= explained_facts(explained) | decoder_facts(decoder)
        if options:
            names = [other.name for other in options["others"]]
            info |= {"l_transfer": hparams["l_transfer"], "others": names}
        info |= {"epochs": hparams["number_of_epochs"], "valid": brain.test_stats}
        best = Path(hparams["output_folder"]) / "best"
        brain.export(best, info)
        complete(hparams, brain.device)
        print(f"Decoder: {best}")
