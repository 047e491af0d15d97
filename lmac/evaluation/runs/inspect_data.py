"""Read every sample of a data set: counts, durations, encodings, and files that are damaged,
silent, clipped or there twice.

    python -m lmac inspect hparams/inspect.yaml --data_folder=/path/to/ESC-50
    python -m lmac inspect hparams/inspect.yaml --dataset_yaml=hparams/datasets/esc10.yaml \
        --data_folder=/path/to/ESC-10

Writes inspection.md, inspection.csv (a row per clip) and inspection.png to <output_folder>, and
fails when clips cannot be used.
"""

from pathlib import Path

from data_prep.inspection import inspection_figure, scan, to_markdown
from data_prep.manifest import DamagedData, DataError, read_manifest, write_table
from lmac.io.files import write_text
from lmac.settings.load import load, parse


def main(argv):
    path, _, overrides = parse(argv)
    hparams, _ = load(path, overrides, to_run=True, only=["prepare_data"])
    folder = Path(hparams["output_folder"])
    try:
        hparams["prepare_data"](manifest=hparams["manifest"])
        rows = read_manifest(hparams["manifest"]).to_dict("records")
    except DamagedData as error:
        rows = error.rows
    table = scan(rows, hparams["data_folder"], hparams["signal_length_s"], hparams["crop"])
    write_table(table.to_dict("records"), table.columns, folder / "inspection.csv")
    text = to_markdown(table, hparams["dataset"], hparams["signal_length_s"])
    write_text(text, folder / "inspection.md")
    inspection_figure(table, hparams["dataset"], folder / "inspection.png")
    print(f"{text}\nWritten to {folder}: inspection.md, inspection.csv, inspection.png")
    unusable = int((table["error"] != "").sum())
    if unusable:
        raise DataError(
            f"{unusable} of {len(table)} clips cannot be used; "
            f"{folder / 'inspection.md'} names them."
        )
