"""Leaks: recordings, clips or noise that were trained on and are evaluated on."""

import logging

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


def warn_of_scenario_leaks(scenario, manifest, trained, train_folds):
    """Log the clips that a classifier or an interpreter was trained on; True when there are some.

    Arguments
    ---------
    scenario : DataFrame
        Of ``data_prep.scenarios.scenario_manifest``.
    manifest : DataFrame
    trained : dict
        Setting that names trained weights to what their training recorded (a dict).
    train_folds : list of int
        Taken for those of the classifier where it recorded none.
    """
    folds = {key: info["train_folds"] for key, info in trained.items() if "train_folds" in info}
    folds.setdefault("classifier_checkpoint", train_folds)
    leaking = False
    for key, own in folds.items():
        leaks = scenario_leaks(scenario, manifest, listed(own))
        if len(leaks):
            logger.warning(
                "Leak: %d of the %d clips explained have a target or contaminant of the training "
                "folds %s of %s, such as %s.",
                len(leaks), len(scenario), listed(own), key, leaks["ID"].iloc[0],
            )  # fmt: skip
        leaking |= len(leaks) > 0
    return leaking
