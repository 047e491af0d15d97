"""Read every sample of a data set: counts, durations, encodings, and files that are damaged,
silent, clipped or there twice.

    python -m lmac check hparams/check.yaml --data_folder=/path/to/ESC-50
    python -m lmac check hparams/check.yaml --dataset_yaml=hparams/datasets/esc10.yaml \
        --data_folder=/path/to/ESC-10

Writes check.md, check.csv (a row per clip) and check.png to <output_folder>, and fails when clips
cannot be used.
"""

from pathlib import Path

from data_prep.check import check_figure, scan, to_markdown
from data_prep.manifest import DamagedData, DataError, read_manifest, write_table
from lmac.config import load, parse
from metrics.tables import write_text


def main(argv):
    path, _, overrides = parse(argv)
    hparams, _ = load(path, overrides, to_run=True, only=["prepare_data"])
    folder = Path(hparams["output_folder"])
    try:
        hparams["prepare_data"](manifest=hparams["manifest"])
        rows = read_manifest(hparams["manifest"]).to_dict("records")
    except DamagedData as error:
        rows = error.rows
    table = scan(rows, hparams["data_folder"])
    write_table(table.to_dict("records"), table.columns, folder / "check.csv")
    text = to_markdown(table, hparams["dataset"], hparams["signal_length_s"])
    write_text(text, folder / "check.md")
    check_figure(table, hparams["dataset"], folder / "check.png")
    print(f"{text}\nWritten to {folder}: check.md, check.csv, check.png")
    unusable = int((table["error"] != "").sum())
    if unusable:
        raise DataError(
            f"{unusable} of {len(table)} clips cannot be used; {folder / 'check.md'} names them."
        )
