"""Leaks: recordings, clips or noise that were trained on and are evaluated on."""

import json
import logging
from pathlib import Path

import pandas as pd

from data_prep.manifest import DataError, listed, select_folds

logger = logging.getLogger(__name__)


def source_leaks(manifest, train_folds, test_folds):
    """Source recordings with clips both in ``train_folds`` and in ``test_folds``.

    Arguments
    ---------
    manifest : DataFrame
        Of ``data_prep.manifest.read_manifest``; ``source`` is ESC-50's ``src_file`` or
        UrbanSound8K's ``fsID``.
    train_folds, test_folds : list of int

    Returns
    -------
    DataFrame
        A row a leaking source: ``source``, ``train`` and ``test``, the IDs of its clips in
        either, as lists. Empty when nothing leaks.

    Raises
    ------
    DataError
        For a fold in both lists, a fold without clips, and clips whose source is not known.
    """
    both = sorted(set(train_folds) & set(test_folds))
    if both:
        raise DataError(f"Fold {both} is in the training and in the test folds.")
    parts = {
        "train": select_folds(manifest, train_folds, "train_folds"),
        "test": select_folds(manifest, test_folds, "test_folds"),
    }
    for part in parts.values():
        unknown = part[part["source"] == ""]
        if len(unknown):
            raise DataError(
                f"The manifest names no source recording of {unknown['ID'].iloc[0]} "
                f"({len(unknown)} such clips): leaks cannot be ruled out."
            )
    clips = {name: part.groupby("source")["ID"].agg(list) for name, part in parts.items()}
    return pd.concat(clips, axis=1, join="inner").reset_index()


def scenario_leaks(scenario, manifest, train_folds):
    """Rows of a scenario manifest with a target or contaminant that was trained on.

    Arguments
    ---------
    scenario : DataFrame
        Of ``data_prep.scenarios.scenario_manifest``.
    manifest : DataFrame
    train_folds : list of int

    Returns
    -------
    DataFrame
        Those rows of ``scenario`` of which a clip, or a clip cut from the same recording, is in
        ``train_folds``.
    """
    train = manifest[manifest["fold"].isin(train_folds)]
    sources = set(train["source"]) - {""}
    trained = set(manifest[manifest["source"].isin(sources)]["wav"]) | set(train["wav"])
    # External contaminants have paths below another folder, which may look the same.
    own = scenario["contaminant_label"] != ""
    leak = scenario["target_wav"].isin(trained) | (own & scenario["contaminant_wav"].isin(trained))
    return scenario[leak]


def warn_of_training_leaks(manifest, hparams, splits=("valid", "test")):
    """Log what ``train_folds`` share with the folds of ``splits``; True when there was a leak."""
    leaking = False
    for key in (f"{split}_folds" for split in splits):
        train, folds = listed(hparams["train_folds"]), listed(hparams[key])
        both = sorted(set(train) & set(folds))
        if both:
            logger.warning("Leak: train_folds and %s share fold %s.", key, both)
            leaking = True
        elif manifest["source"].any():  # made-up sounds have none
            leaks = source_leaks(manifest, train, folds)
            for row in leaks.head(5).itertuples(index=False):
                logger.warning("Leak: recording %s is in train_folds (%s) and in %s (%s).",
                               row.source, row.train[0], key, row.test[0])  # fmt: skip
            if len(leaks) > 5:
                logger.warning("Leak: so are %d other recordings.", len(leaks) - 5)
            leaking |= len(leaks) > 0
    return leaking


def training_info(checkpoint):
    """What training left in ``info.json`` in the folder ``checkpoint``.

    Empty where there is none, and for None: the classifier came with its weights.
    """
    path = Path(checkpoint) / "info.json" if checkpoint else None
    return json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else {}


def warn_of_scenario_leaks(scenario, manifest, hparams):
    """Log the clips that the classifier was trained on; True when there are some.

    ``info.json`` beside the weights tells its training folds, else ``train_folds`` does.
    """
    known = training_info(hparams["classifier_checkpoint"])
    folds = listed(known.get("train_folds", hparams["train_folds"]))
    leaks = scenario_leaks(scenario, manifest, folds)
    if len(leaks):
        logger.warning(
            "Leak: %d of the %d clips explained have a target or contaminant of the classifier's "
            "training folds %s, such as %s.",
            len(leaks), len(scenario), folds, leaks["ID"].iloc[0],
        )  # fmt: skip
    return len(leaks) > 0
