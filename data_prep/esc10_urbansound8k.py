"""ESC-10 and UrbanSound8K as one data set, also without some classes: for zero-shot classifiers.

data_folder/ESC-10/…        as data_prep.esc50 reads it; ESC-50 will do
data_folder/UrbanSound8K/…  as data_prep.urbansound8k reads it
"""

from pathlib import Path

from data_prep import esc50, urbansound8k
from data_prep.manifest import DataError, read_manifest, require_folder, write_manifest

# Folds of UrbanSound8K are numbered after those of ESC-50: its fold 1 is 11.
FOLD_OFFSET = 10
# One thing, two names.
SAME = {"dog_bark": "dog"}
_HINT = (
    "Give the folder that holds both data sets, as ESC-10 and UrbanSound8K: "
    "--data_folder=/path/to/both; other names: --esc50_subfolder=…, --urbansound8k_subfolder=…."
)


def prepare(
    data_folder,
    manifest,
    esc50_subfolder="ESC-10",
    urbansound8k_subfolder="UrbanSound8K",
    without_classes=(),
):
    """Write the manifest of both data sets.

    Arguments
    ---------
    data_folder : path
        The folder that holds both.
    manifest : path
        CSV to write; the data sets' own are written beside it.
    esc50_subfolder, urbansound8k_subfolder : str
        Names below ``data_folder``.
    without_classes : list of str
        Classes whose clips are left out.

    Returns
    -------
    list of str
        Class names, those of ESC-10 first. ``dog_bark`` is ``dog``, and fold k of UrbanSound8K is
        fold 10 + k.

    Raises
    ------
    DataError
        For a class that neither data set has, and what their own ``prepare`` raises it for.
    """
    folder, manifest = require_folder(data_folder, "data_folder", _HINT), Path(manifest)
    parts = {
        esc50_subfolder: lambda **where: esc50.prepare(**where, esc10_only=True),
        urbansound8k_subfolder: urbansound8k.prepare,
    }
    rows, labels = [], []
    for number, (name, prepare_part) in enumerate(parts.items()):
        own = manifest.with_name(f"{manifest.stem}_{number}.csv")
        found = prepare_part(data_folder=folder / name, manifest=own)
        labels += [SAME.get(label, label) for label in found]
        for row in read_manifest(own).to_dict("records"):
            row["label"] = SAME.get(row["label"], row["label"])
            row["wav"] = f"{name}/{row['wav']}"
            row["fold"] += number * FOLD_OFFSET
            rows.append(row)
    labels = list(dict.fromkeys(labels))
    unknown = [name for name in without_classes if name not in labels]
    if unknown:
        raise DataError(
            f"without_classes: there is no class {unknown[0]}; expected some of "
            f"{', '.join(labels)}."
        )
    kept = [name for name in labels if name not in without_classes]
    write_manifest([row for row in rows if row["label"] in kept], manifest)
    return kept
