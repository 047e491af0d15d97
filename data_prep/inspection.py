"""A whole data set, read sample by sample: what is in it, and what is wrong with it."""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tqdm import tqdm

from data_prep.audio import CANCELLED, AudioError, cropped, decode
from lmac.io.files import whole
from metrics.tables import markdown_table

SILENT_PEAK = 1e-4  # -80 dBFS
CLIPPED_AT, CLIPPED_RUN = 0.999, 3  # successive samples at full scale
CLIPPED_SHARE = 1e-3  # of the samples; a few full-scale peaks are no reason to worry
DC_OFFSET = 0.05  # of full scale
COLUMNS = (
    *("ID", "wav", "row", "fold", "label", "source"),
    *("seconds", "sample_rate", "channels", "encoding", "peak", "rms_db", "clipped", "dc"),
    *("digest", "error", "notes"),
)


def examine(path, seconds=None, crop="start"):
    """What the samples of one file are like: a dict with the keys of COLUMNS from ``seconds`` on.

    With ``seconds``, notes also tell of a clip that is silent where training would look at it.
    ``peak`` and ``dc`` are shares of full scale, ``clipped`` a share of the samples, ``rms_db``
    dB below full scale (of a constant 1). A file that cannot be used has ``error`` alone.
    """
    try:
        samples, rate = decode(path)
        info = soundfile.info(os.fsencode(path))
    except AudioError as error:
        return {"error": str(error), "notes": ""}
    magnitude = np.abs(samples)
    full = magnitude >= CLIPPED_AT
    runs = np.logical_and.reduce([full[i : len(full) - 2 + i] for i in range(CLIPPED_RUN)])
    peak, power = float(magnitude.max()), float(np.mean(np.square(samples, dtype=float)))
    dc = float(np.abs(samples.mean(0, dtype=float)).max())
    clipped = float(runs.mean()) if runs.size else 0.0  # of one or two samples
    notes = []
    mono = samples.mean(1)
    seen = mono if seconds is None else cropped(mono, round(seconds * rate), crop)
    if peak < SILENT_PEAK:
        notes.append("silent")
    elif samples.shape[1] > 1 and np.abs(mono).max() < CANCELLED * peak:
        return {"error": f"{path}: its channels cancel one another in mono", "notes": ""}
    elif np.abs(seen).max() < SILENT_PEAK:
        notes.append(f"silent in its {crop if crop == 'loudest' else 'first'} {seconds:g} s")
    elif np.ptp(samples, axis=0).max() == 0:
        notes.append("constant")
    elif dc > DC_OFFSET:
        notes.append("DC offset")
    if clipped > CLIPPED_SHARE:
        notes.append("clipped")
    return {
        "seconds": round(len(samples) / rate, 4),
        "sample_rate": rate,
        "channels": samples.shape[1],
        "encoding": f"{info.format} {info.subtype}",
        "peak": round(peak, 6),
        "rms_db": round(10 * np.log10(power), 2) if power else -np.inf,
        "clipped": round(clipped, 6),
        "dc": round(dc, 6),
        "digest": hashlib.sha1(f"{rate} {samples.shape}".encode() + samples.tobytes()).hexdigest(),
        "error": "",
        "notes": ", ".join(notes),
    }


def scan(rows, data_folder, seconds=None, crop="start"):
    """Examine the files of all ``rows`` (dicts of a manifest); a DataFrame with COLUMNS.

    ``seconds`` and ``crop`` are what of a clip is looked at in training (see :func:`examine`).
    ``notes`` also tells which other clip has the same samples, and whether it is in another
    fold, which would be a leak. Nothing is raised for a damaged file: ``error`` says what it has.
    """
    rows, folder = list(rows), Path(data_folder)
    paths = [folder / row["wav"] for row in rows]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(
            tqdm(
                pool.map(partial(examine, seconds=seconds, crop=crop), paths),
                "reading",
                len(paths),
                unit="file",
            )
        )
    table = pd.DataFrame(
        [{**row, **one} for row, one in zip(rows, found, strict=True)], columns=list(COLUMNS)
    )
    texts = ["row", "source", "encoding", "digest", "error", "notes"]
    table[texts] = table[texts].astype(object).where(table[texts].notna(), "")
    sounding = table[(table["error"] == "") & ~table["notes"].str.contains("silent")]
    for _, same in sounding.groupby("digest"):
        for index, row in same.iterrows():
            others = same.drop(index)
            if len(others):
                leak = (others["fold"] != row["fold"]).any()
                note = f"duplicate of {' '.join(others['ID'])}" + (
                    " in another fold" if leak else ""
                )
                table.loc[index, "notes"] = ", ".join(filter(None, [row["notes"], note]))
    return table


def _md(heads, rows):
    """A Markdown table; columns of numbers are aligned to the right."""
    rows = [list(row) for row in rows]
    texts = [
        i
        for i, column in enumerate(zip(*rows, strict=True))
        if not all(isinstance(c, int | float) for c in column)
    ]
    return "\n".join(markdown_table(heads, rows, texts))


def _kinds(table):
    """Kind of note to the rows that have it: ``duplicate of b`` is of the kind ``duplicate``."""
    kinds = {}
    for row in table.itertuples():
        for note in filter(None, row.notes.split(", ")):
            kinds.setdefault(re.sub(r" of .*?( in another fold)?$", r"\1", note), []).append(row)
    return kinds


def to_markdown(table, name, signal_length_s, most=20):
    """The report on a table of ``scan``; lists at most ``most`` clips of a kind.

    ``signal_length_s`` is the length that training crops or zero-pads clips to.
    """
    usable, damaged = table[table["error"] == ""], table[table["error"] != ""]
    parts = [
        f"# Check of {name}",
        f"{len(table)} clips, {usable['seconds'].sum() / 60:.1f} minutes, "
        f"{table['label'].nunique()} classes, {table['fold'].nunique()} folds. "
        + (f"**{len(damaged)} cannot be used.**" if len(damaged) else "All can be used."),
    ]
    if len(damaged):
        cells = damaged[["ID", "row", "fold", "error"]].values.tolist()
        parts += ["## Clips that cannot be used", _md(["clip", "row", "fold", "error"], cells)]
    kinds = _kinds(table)
    parts.append("## Worth knowing")
    sources = table[table["source"] != ""].groupby("source")["fold"].nunique()
    if len(sources):
        leaks = sources.index[sources > 1]
        parts.append(
            f"{len(sources)} source recordings, "
            + (f"**{len(leaks)} in more than one fold** ({', '.join(leaks[:most])})."
               if len(leaks) else "none in more than one fold.")
        )  # fmt: skip
    cells = [
        (kind, len(rows), ", ".join(f"{r.ID} (row {r.row})" if r.row else r.ID
                                    for r in rows[:most]) + (" …" if len(rows) > most else ""))
        for kind, rows in kinds.items()
    ]  # fmt: skip
    parts.append(
        _md(["what", "clips", "which"], cells) if cells
        else "No silent, constant, clipped or duplicate clips, no DC offset."
    )  # fmt: skip
    if len(usable):
        seconds = usable["seconds"]
        # Lossy codecs add or lose some milliseconds.
        short, long = (
            int(n.sum())
            for n in (seconds < signal_length_s - 0.01, seconds > signal_length_s + 0.01)
        )
        parts.append(
            f"Durations: {seconds.min():g} to {seconds.max():g} s, median {seconds.median():g} s; "
            f"{short} clips are shorter than {signal_length_s:g} s (zero-padded), {long} longer "
            "(cropped)."
        )
        groups = usable.groupby(["sample_rate", "channels", "encoding"]).size()
        cells = [(e, int(r), int(c), n) for (r, c, e), n in groups.items()]
        parts.append(_md(["encoding", "rate (Hz)", "channels", "clips"], cells))
    counts = pd.crosstab(table["label"], table["fold"])
    cells = [(label, *row, sum(row)) for label, row in zip(counts.index, counts.values.tolist(),
                                                         strict=True)]  # fmt: skip
    heads = ["class", *(f"fold {f}" for f in counts.columns), "all"]
    parts += ["## Clips per class and fold", _md(heads, cells)]
    return "\n\n".join(parts) + "\n"


def inspection_figure(table, name, path):
    """Clips per class and fold, durations, levels and what was found, as one picture."""
    counts = pd.crosstab(table["fold"], table["label"])
    usable = table[table["error"] == ""]
    figure = Figure(figsize=(max(10, 2 + 0.24 * counts.shape[1]), 7), layout="constrained")
    axes = figure.subplot_mosaic([["counts"] * 3, ["seconds", "level", "found"]])
    axis = axes["counts"]
    image = axis.imshow(counts, aspect="auto", cmap="Blues", vmin=0, vmax=1.4 * counts.values.max())
    # Names are text: a "$" in them is no formula.
    labels = [str(label).replace("$", r"\$") for label in counts.columns]
    axis.set_xticks(range(counts.shape[1]), labels, rotation=45, ha="right")
    axis.set_yticks(range(len(counts)), counts.index)
    axis.set(ylabel="fold", title=f"{name}: clips per class and fold".replace("$", r"\$"))
    if counts.size <= 250:
        for (y, x), value in np.ndenumerate(counts.values):
            dark = value > 0.8 * counts.values.max()
            axis.text(x, y, value, ha="center", va="center", color="w" if dark else "k", fontsize=8)
    else:
        figure.colorbar(image, ax=axis, label="clips")
    axes["seconds"].hist(usable["seconds"], bins=30, color="tab:blue")
    axes["seconds"].set(xlabel="duration (s)", ylabel="clips", yscale="log")
    axes["level"].hist(usable["rms_db"].clip(-100), bins=30, color="tab:blue")
    axes["level"].set(xlabel="level (dB re full scale)", ylabel="clips")
    found = {"damaged": int((table["error"] != "").sum())}
    found |= dict.fromkeys(("silent", "constant", "DC offset", "clipped", "duplicate"), 0)
    found |= {"duplicate in another fold": 0, **{k: len(v) for k, v in _kinds(table).items()}}
    names = [kind.replace(" in", "\nin") for kind in found]
    bars = axes["found"].barh(names, list(found.values()), color="tab:orange")
    axes["found"].bar_label(bars, padding=2)
    axes["found"].invert_yaxis()
    axes["found"].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes["found"].set(xlabel="clips", xlim=(0, max(1.2, 1.2 * max(found.values()))))
    with whole(path, sync=False) as file:
        figure.savefig(file, format="png", dpi=150)
