"""Zero-shot accuracy on classes that were never trained on, beside chance and a supervised head.

    python -m lmac held_out recipes/zero_shot/recipe.yaml --data_folder=…

Every clip of the held-out classes, or held_out_clips of each, is classified among these classes and
among all. Since a supervised head needs their clips, one is trained for comparison (logistic
regression on the same embeddings of train_folds, all classes) and scored on the other folds. Writes
held_out.csv and held_out.md.
"""

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_prep.dataset import clip_dataset
from data_prep.manifest import listed
from lmac.evaluation.checks.base import Check
from lmac.evaluation.files import HELD_OUT
from lmac.training.embeddings import embedded
from metrics.summary import bootstrap_interval, with_interval
from metrics.tables import markdown_table

ACCURACY = "accuracy"


def spread(clips, per_class):
    """At most ``per_class`` clips of each class, evenly from all of them; all where it is None."""
    if per_class is None:
        return clips
    parts = []
    for _, own in clips.groupby("label", sort=False):
        n = min(per_class, len(own))
        parts.append(own.iloc[[i * len(own) // n for i in range(n)]])
    return pd.concat(parts).sort_index()


def accuracy(right, sources, n_boot):
    """Mean of ``right`` and its 95 % interval, in percent, as ``with_interval`` reads them.

    Whole source recordings are resampled: clips that were cut from one are not independent.
    """
    values = 100.0 * right.astype(float)
    low, high = bootstrap_interval(values, n_boot=n_boot, groups=sources)
    return {ACCURACY: values.mean(), f"{ACCURACY} lo": low, f"{ACCURACY} hi": high}


def rows_of(clips, scores, method, labels, held_out, n_boot):
    """A row for each choice of classes: the held-out ones of each fold group, and all.

    Arguments
    ---------
    clips : DataFrame
        Of held-out classes: ``label``, ``source``, ``dataset``.
    scores : ndarray [N, K]
        Of every clip and class of ``labels``.
    method : str
    labels, held_out : list of str
    n_boot : int
    """
    rows = []
    groups = [*clips["dataset"].unique(), None] if clips["dataset"].nunique() > 1 else [None]
    for group in groups:
        mine = (clips["dataset"] == group if group else clips["label"].notna()).to_numpy()
        own = clips[mine]
        present = [name for name in held_out if name in set(own["label"])]
        for among, names in (("held-out classes", present), ("all classes", labels)):
            columns = [labels.index(name) for name in names]
            decided = scores[mine][:, columns].argmax(1)
            right = own["label"].to_numpy() == pd.Series(names).to_numpy()[decided]
            rows.append(
                {
                    "clips of": group or "both",
                    "method": method,
                    "among": among,
                    "classes": len(names),
                    "clips": len(own),
                    "recordings": own["source"].nunique(),
                    "chance": 100 / len(names),
                    **accuracy(right, own["source"].to_numpy(), n_boot),
                }
            )
    return rows


def report(table, about):
    """Markdown of the rows of ``rows_of``."""
    lines = ["# Classes that were never trained on", "", about, ""]
    lines += markdown_table(
        ["clips of", "method", "among", "classes", "clips", "recordings", "chance (%)",
         "accuracy (%) [95 % interval]"],
        [
            [r["clips of"], r["method"], r["among"], r["classes"], r["clips"], r["recordings"],
             f"{r['chance']:.1f}", with_interval(r, ACCURACY, 1)]
            for r in table.to_dict("records")
        ],
        texts=(0, 1, 2),
    )  # fmt: skip
    return "\n".join(lines) + "\n"


class HeldOut(Check):
    """Classes that the head was never trained on."""

    name = HELD_OUT

    def rows(self):
        hparams, explained, device = self.hparams, self.explained, self.setup.device
        held_out = list(hparams["held_out_classes"])
        manifest, labels = self.setup.manifest, self.setup.labels
        if len(held_out) < 2 or not set(held_out) < set(labels):
            raise ValueError(
                f"held_out_classes is {held_out}: expected at least two of "
                f"{', '.join(labels)}, and not all."
            )
        known = manifest["label"].isin(held_out)
        training = manifest["fold"].isin(listed(hparams["train_folds"]))
        tested = spread(manifest[known], hparams["held_out_clips"])
        parts = {"held-out classes": tested, "training": manifest[training & ~known]}
        datasets = {
            name: clip_dataset(
                rows, hparams["data_folder"], labels,
                round(hparams["signal_length_s"] * hparams["sample_rate"]), hparams["cache_folder"],
                hparams["sample_rate"], hparams["crop"],
            )
            for name, rows in parts.items()
        }  # fmt: skip
        model = explained.classifier.embedding_model
        found = embedded(
            datasets,
            model,
            explained.domain,
            hparams["cache_folder"],
            hparams["batch_size"],
            device,
        )
        X = {name: torch.stack([item["sig"] for item in data]) for name, data in found.items()}
        clips = parts["held-out classes"].reset_index(drop=True)
        clips["dataset"] = clips["wav"].str.split("/").str[0]
        with torch.no_grad():
            head = explained.classifier.classifier
            logits = head(X["held-out classes"].to(device).unsqueeze(1)).squeeze(1).cpu().numpy()

        # The other head is trained on all classes, so it is scored on folds that it has not seen.
        unseen = (~clips["fold"].isin(listed(hparams["train_folds"]))).to_numpy(copy=True)
        supervised = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.01, max_iter=2000, class_weight="balanced")
        )
        names = [*clips["label"][~unseen], *parts["training"]["label"]]
        supervised.fit(
            torch.cat([X["held-out classes"][~unseen], X["training"]]).numpy(),
            [labels.index(name) for name in names],
        )
        of_supervised = np.zeros((int(unseen.sum()), len(labels)))
        of_supervised[:, supervised.classes_] = supervised.predict_proba(
            X["held-out classes"][unseen].numpy()
        )

        n_boot = hparams["n_boot"]
        common = (labels, held_out, n_boot)
        rows = rows_of(clips, logits, "zero-shot", *common)
        test = clips[unseen]
        rows += rows_of(test, logits[unseen], "zero-shot, test folds", *common)
        rows += rows_of(test, of_supervised, "supervised head, test folds", *common)
        return pd.DataFrame(rows).sort_values("clips of", kind="stable")

    def report(self, summary, rows):
        h = self.hparams
        about = (
            f"{h['dataset']}, classifier {h['classifier_name']}; never trained on: "
            f"{', '.join(h['held_out_classes'])}. Chance is one over the number of classes. The "
            "intervals resample whole source recordings. The supervised head has been trained on "
            f"all classes, on folds {', '.join(map(str, listed(h['train_folds'])))}; test folds "
            "are the others."
        )
        return report(rows, about)


main = HeldOut.main
