"""A page to look through and listen to explanations, beside the results of an evaluation.

    python -m lmac gallery results/evaluation/mixtures_stft results/evaluation/plain_stft

Writes index.html, which refers to the audio and pictures where they are: keep the folders
together when moving them.
"""

import math
import struct
from pathlib import Path

from lmac.command_line import Argument, CommandLine, Option
from lmac.media.loudness import MOST_DB
from lmac.media.page import relative_url, sounds_data, write_page
from lmac.results.folder import EvaluationFolder
from metrics import METRICS

TITLE = "Explanations to listen to"
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
    tables = [(folder, folder.rows()) for folder in folders]
    results = [(folder, folder.clips_with_samples(rows)) for folder, rows in tables]
    names = [list(dict.fromkeys(map(_scenario_name, clips))) for _, clips in results]
    shared = {n for i, these in enumerate(names) for n in these if n in sum(names[:i], [])}
    metrics = [m for m in METRICS if any(m in rows for _, rows in tables)]
    shown = []
    for number, (folder, clips) in enumerate(results, 1):
        for clip in clips:
            name = _scenario_name(clip)
            if name in shared:  # two evaluations of one scenario: say which
                name += f" ({number}: {folder.path.resolve().name})"
            shown.append(_clip_data(clip, name, metrics, output))
    return {
        "methods": list(dict.fromkeys(m for _, rows in tables for m in rows["method"])),
        "metrics": [
            {
                "name": m,
                "better": METRICS[m].better,
                "decimals": METRICS[m].decimals,
                "about": METRICS[m].about,
            }
            for m in metrics
        ],
        "scored": sum(
            len(rows.drop_duplicates(["scenario", "domain", "ID"])) for _, rows in tables
        ),
        "clips": shown,
    }


def _scenario_name(clip):
    return f"{clip.scenario}, {clip.domain}"


def _clip_data(clip, scenario, metrics, output):
    files = {("input", "input"): clip.input}
    for method in clip.rows:
        for part in ("explanation", "removed"):
            files[method, part] = clip.file(method, f"{part}.wav")
    sounds = sounds_data(files, ("input", "input"), output)

    return {
        "ID": clip.ID,
        "scenario": scenario,
        "label": clip.label,
        "decision": clip.decision,
        "correct": clip.correct,
        "p": clip.p,
        "input": sounds["input", "input"],
        "methods": {
            method: {
                "p_in": float(row["p_in"]),
                "p_out": float(row["p_out"]),
                "values": {m: _number(row.get(m)) for m in metrics},
                "explanation": sounds[method, "explanation"],
                "removed": sounds[method, "removed"],
                "picture": _picture(clip.file(method, "explanation.png"), output),
            }
            for method, row in clip.rows.items()
        },
    }


def _number(value):
    """A finite float, or None: an undefined metric."""
    return None if value is None or not math.isfinite(float(value)) else float(value)


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
