#!/usr/bin/env python3
"""Train an audio classifier.

    python train_classifier.py hparams/classifier.yaml --data_folder=/path/to/ESC-50

Resumes where it was killed. The best checkpoint (accuracy on valid_folds) ends up in
<output_folder>/best, with its accuracy, confidence and confusion matrix beside it.
"""

if __name__ == "__main__":
    from lmac.settings.cli import dispatch

    # What is wrong is said before torch is imported, which takes seconds.
    raise SystemExit(dispatch("train-classifier"))

from pathlib import Path

import speechbrain as sb
from speechbrain.dataio.encoder import CategoricalEncoder

from data_prep.dataset import fold_datasets, prepare, require_every_class
from data_prep.leaks import warn_of_training_leaks
from lmac.checkpoints import class_names, classifier_domain, training_facts
from lmac.classifiers import AudioClassifier
from lmac.explain.figures import confusion_figure
from lmac.io.processes import device_of
from lmac.io.provenance import complete
from lmac.settings.dry_run import dry_runnable
from lmac.settings.load import load_experiment
from lmac.training.classifier import ClassifierBrain
from lmac.training.embeddings import embedded, load_start


@dry_runnable
def main(argv):
    hparams, run_opts = load_experiment(argv)
    embedding_model, domain = hparams["embedding_model"], classifier_domain(hparams)
    # First, so that what is missing is named before audio is decoded.
    load_start(embedding_model, hparams["classifier_checkpoint"], hparams["freeze_embedding"])
    manifest, labels = prepare(hparams)
    # Prompts have an order of their own.
    labels = class_names(
        None, labels, AudioClassifier(hparams["embedding_model"], hparams["classifier"])
    )
    require_every_class(manifest, labels, hparams)
    datasets = fold_datasets(hparams, manifest, labels)
    warn_of_training_leaks(manifest, hparams)
    loader = {"batch_size": hparams["batch_size"], "num_workers": hparams["num_workers"]}
    train_loader = {**loader, "shuffle": True, "drop_last": True}
    if hparams["freeze_embedding"]:
        device = device_of(run_opts)
        datasets = embedded(datasets, embedding_model, domain, hparams["cache_folder"],
                            hparams["batch_size"], device)  # fmt: skip

    brain = ClassifierBrain(
        modules={
            "embedding_model": embedding_model,
            "classifier": hparams["classifier"],
            "domain": domain,
        },
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    brain.fit(
        brain.hparams.epoch_counter,
        datasets["train"],
        datasets["valid"],
        train_loader_kwargs=train_loader,
        valid_loader_kwargs=loader,
    )

    info = {"classifier": hparams["classifier_name"]}
    augmented = not hparams["freeze_embedding"]
    keys = ("test_folds", "number_of_epochs")
    info |= training_facts(hparams, domain, *keys, augmented=augmented)
    for split in ("valid", "test"):
        brain.evaluate(datasets[split], max_key="accuracy", test_loader_kwargs=dict(loader))
        info[split] = {
            "folds": hparams[f"{split}_folds"],
            "clips": len(datasets[split]),
            **brain.test_stats,
        }
        hparams["train_logger"].log_stats({"split": split}, test_stats=brain.test_stats)
    loss = hparams["classification_loss"]
    info["loss"] = getattr(loss, "func", loss).__name__  # a YAML with arguments gives a partial

    info["number_of_epochs"] = brain.epochs_done
    if sb.utils.distributed.if_main_process() and not brain.exports:
        print("A debugging run: nothing is kept.")
    elif sb.utils.distributed.if_main_process():
        best = Path(hparams["output_folder"]) / "best"
        encoder = CategoricalEncoder()
        encoder.update_from_iterable(labels, sequence_input=False)
        brain.export(best, info, encoder)
        logits, target = brain.test_outputs
        confusion_figure(logits.argmax(1), target, labels, best / "confusion.png")
        complete(hparams, brain.device)
        print(
            f"Accuracy: {100 * info['valid']['accuracy']:.1f} % on folds {info['valid']['folds']} "
            f"(selected the checkpoint), {100 * info['test']['accuracy']:.1f} % on folds "
            f"{info['test']['folds']}. Weights and confusion matrix: {best}"
        )
