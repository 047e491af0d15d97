"""A page to look through and listen to explanations, beside the results of an evaluation.

    python -m lmac gallery results/evaluation/mixtures_stft results/evaluation/plain_stft

Writes index.html, which refers to the audio and pictures where they are: keep the folders
together when moving them. Evaluations of the same clips are paired, clip by clip.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import soundfile

from lmac.evaluation.folder import EvaluationFolder
from lmac.explain.loudness import MOST_DB
from lmac.pages.page import relative_url, sounds_data, write_page
from lmac.settings.command_line import Argument, CommandLine, Option
from metrics import METRICS
from metrics.summary import bootstrap_interval
from metrics.tables import NOT_APPLICABLE, NOT_RANKED

TITLE = "Explanations to listen to"
SHARED = ("input", "target", "contaminant")
PARTS = ("explanation", "removed")
N_BOOT = 200  # of the intervals of single classes and of differences
COMMAND_LINE = CommandLine(
    Argument("folders", "output folders of eval_explanations.py, all on one page", many=True),
    Option("output", str, None, "folder of the page; by default gallery/ in the first of them"),
    Option("title", str, TITLE, "heading of the page"),
)


def write_gallery(folders, output=None, title=TITLE):
    """Write the gallery of one or more results folders; returns the path of the page.

    Arguments
    ---------
    folders : list of path
        Output folders of ``eval_explanations.py``.
    output : path
        Folder of ``index.html``, by default ``gallery`` in the first of ``folders``.
    title : str

    Raises ValueError or FileNotFoundError for a folder that is not as expected.
    """
    output = Path(output or Path(folders[0]) / "gallery")
    return write_page(
        "gallery.html",
        output / "index.html",
        title=title,
        most_db=f"{MOST_DB:g}",
        data=gallery_data(map(EvaluationFolder, folders), output),
    )


def gallery_data(folders, output):
    """What the page shows, as plain lists and dictionaries (JSON without NaN).

    ``folders`` are of EvaluationFolder; addresses are relative to the folder ``output``.
    """
    contents = [folder.contents() for folder in folders]
    names = run_names([content.folder.path for content in contents])
    runs = [_Run(name, content) for name, content in zip(names, contents, strict=True)]
    pairs = {}
    for run in runs:
        for clip in run.content.clips:
            pairs.setdefault((clip.scenario, clip.domain, clip.ID), []).append((run, clip))
    metrics = [m for m in METRICS if any(m in run.content.rows for run in runs)]
    methods = list(dict.fromkeys(m for run in runs for m in run.content.methods))
    return {
        "runs": [_run_data(run, output) for run in runs],
        "methods": methods,
        "references": [m for m in methods if m in NOT_RANKED],
        "metrics": [
            {
                "name": m,
                "better": METRICS[m].better,
                "decimals": METRICS[m].decimals,
                "about": METRICS[m].about,
            }
            for m in metrics
        ],
        "summaries": [_summary_data(run, metrics) for run in runs],
        "differences": _differences(runs, metrics),
        "clips": [_clip_data(several, metrics, output) for several in pairs.values()],
    }


@dataclass(frozen=True)
class _Run:
    """One evaluation of the page, and what it is called there."""

    name: str
    content: object


def run_names(paths):
    """What tells evaluations apart: of their paths, the last part in which they differ.

    Raises ValueError where one folder is given twice.
    """
    parts = [Path(path).resolve().parts for path in paths]
    if len(set(parts)) < len(parts):
        raise ValueError("A folder is given twice: give each evaluation once.")
    while len(parts) > 1 and all(len(p) > 1 for p in parts) and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    length = 1
    while len({p[-length:] for p in parts}) < len(parts):
        length += 1
    return ["/".join(p[-length:]) for p in parts]


def _scenario_name(clip):
    return f"{clip.scenario}, {clip.domain}"


def _run_data(run, output):
    """Header of an evaluation: what its table states, and its files."""
    folder = run.content.folder
    stated = folder.statement
    return {
        "name": run.name,
        "title": stated.get("title", "").lstrip("# "),
        "facts": [stated[k] for k in ("data", "classifier", "training", "run") if k in stated],
        "files": [
            {"name": path.name, "url": relative_url(path, output)} for path in folder.written()
        ],
        "scored": run.content.scored,
        "heard": len(run.content.clips),
    }


def _summary_data(run, metrics):
    """Means and intervals over all scored clips, and of each class, by method."""
    rows = run.content.rows
    groups = [("", rows), *rows.groupby("label", sort=True)]
    made = []
    for label, part in groups:
        summary = run.content.folder.summary(part, 1000 if label == "" else N_BOOT)
        for line in summary.to_dict("records"):
            made.append(
                {
                    "scenario": f"{line['scenario']}, {line['domain']}",
                    "label": str(label),
                    "method": line["method"],
                    "n": int(line["n"]),
                    "values": {
                        m: _interval(line, m)
                        for m in _applying(line["method"], metrics)
                        if m in line
                    },
                }
            )
    return {"run": run.name, "rows": made}


def _applying(method, metrics):
    """The metrics that say something about a method: not sparsity about a constant mask."""
    return [m for m in metrics if m not in NOT_APPLICABLE.get(method, ())]


def _interval(line, metric):
    """[mean, low, high] of a row of a summary; a check has no interval, None is undefined."""
    return [_number(line.get(f"{metric}{end}")) for end in ("", " lo", " hi")]


def _differences(runs, metrics):
    """Where two evaluations scored the same clips: the mean differences, second minus first."""
    made = []
    keys = ["scenario", "domain", "method", "ID"]
    for i, first in enumerate(runs):
        for second in runs[i + 1 :]:
            both = first.content.rows.merge(
                second.content.rows, on=keys, suffixes=("", " second"), how="inner"
            )
            for (scenario, domain, method), part in both.groupby(keys[:3], sort=False):
                values = {}
                for m in _applying(method, metrics):
                    if f"{m} second" in part:
                        difference = pd.to_numeric(part[f"{m} second"]) - pd.to_numeric(part[m])
                        low, high = bootstrap_interval(
                            difference, n_boot=N_BOOT, groups=part["target_id"]
                        )
                        values[m] = [_number(v) for v in (difference.mean(), low, high)]
                made.append(
                    {
                        "first": first.name,
                        "second": second.name,
                        "scenario": f"{scenario}, {domain}",
                        "method": method,
                        "n": len(part),
                        "values": values,
                    }
                )
    return made


def _clip_data(several, metrics, output):
    """One clip, with the columns of every evaluation of it: [(run, clip)]."""
    _, clip = several[0]
    files = {name: clip.shared(f"{name}.wav") for name in SHARED} | {"input": clip.input}
    for number, (_, one) in enumerate(several):
        for method in one.rows:
            for part in PARTS:
                files[number, method, part] = one.file(method, f"{part}.wav")
    sounds = sounds_data(files, "input", output)
    columns = []
    for number, (run, one) in enumerate(several):
        for method, row in one.rows.items():
            columns.append(
                {
                    "method": method,
                    "run": run.name if len(several) > 1 else "",
                    "reference": method in NOT_RANKED,
                    "p_in": float(row["p_in"]),
                    "p_out": float(row["p_out"]),
                    "values": dict.fromkeys(metrics)
                    | {m: _number(row.get(m)) for m in _applying(method, metrics)},
                    **{part: sounds[number, method, part] for part in PARTS},
                    "picture": _picture(one.file(method, "explanation.png"), output),
                    "mask": _url(one.file(method, "mask.png"), output),
                }
            )
    return {
        "ID": clip.ID,
        "scenario": _scenario_name(clip),
        "label": clip.label,
        "verdicts": [
            {
                "run": run.name if len(several) > 1 else "",
                "decision": one.decision,
                "correct": one.correct,
                "p": one.p,
            }
            for run, one in several
        ],
        **{name: sounds[name] for name in SHARED},
        "map": _map(several, output),
        # The same method of two evaluations side by side; what is no method comes last.
        "columns": sorted(columns, key=_in_order([c["method"] for c in columns])),
    }


def _in_order(methods):
    order = {method: i for i, method in reversed(list(enumerate(methods)))}
    return lambda column: (column["reference"], order[column["method"]])


def _map(several, output):
    """The picture of the input without axes, and what its axes are; None without one."""
    run, clip = next(((r, c) for r, c in several if c.shared("spectrogram.png")), several[0])
    path = clip.shared("spectrogram.png")
    if path is None:
        return None
    if clip.input is not None:
        sound = soundfile.info(clip.input)
        seconds, top, unit = sound.duration, sound.samplerate / 2, "Hz"
    else:
        seconds = run.content.folder.note["setting"]["signal_length_s"]
        top, unit = _picture(path, output)["height"], "mel band"
    return {"input": relative_url(path, output), "seconds": seconds, "top": top, "unit": unit}


def _number(value):
    """A finite float, or None: an undefined metric."""
    return None if value is None or not math.isfinite(float(value)) else float(value)


def _url(path, output):
    return None if path is None else relative_url(path, output)


def _picture(path, output):
    """Address and size of a PNG (so that the page need not move when it arrives)."""
    if path is None:
        return None
    with path.open("rb") as file:
        head = file.read(24)
    if head[:8] != b"\x89PNG\r\n\x1a\n" or len(head) < 24:
        raise ValueError(f"{path} is no PNG picture: delete it, or evaluate into a new folder.")
    width, height = struct.unpack(">II", head[16:24])
    return {"url": relative_url(path, output), "width": width, "height": height}


def main(argv):
    print(f"Gallery: {write_gallery(**COMMAND_LINE.parse(argv))}")
