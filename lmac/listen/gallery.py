"""A page to look through and listen to explanations, beside the results of an evaluation.

    python -m lmac gallery results/evaluation/mixtures_stft results/evaluation/plain_stft

Writes index.html, which refers to the audio and pictures where they are: keep the folders
together when moving them.
"""

import math
import struct
from pathlib import Path

from lmac.command_line import Argument, CommandLine, Option
from lmac.media.page import relative_url, write_page
from lmac.results.folder import MOST_DB, loudness, matching_gains, read_results
from metrics import METRICS

TITLE = "Explanations to listen to"
COMMAND_LINE = CommandLine(
    Argument("folders", "output folders of eval_explanations.py, all on one page", many=True),
    Option("output", str, None, "folder of the page; by default gallery/ in the first of them"),
    Option("title", str, TITLE, "heading of the page"),
)
ABOUT = {
    "AI": "100 if the class gains probability from the explanation alone, else 0",
    "AD": "relative drop of its probability, in percent",
    "AG": "relative gain of its probability, in percent",
    "FF": "how much probability is lost with the explanation removed",
    "Fid-In": "1 if the explanation alone keeps the decision",
    "SPS": "sparseness of the mask (Gini index)",
    "COMP": "complexity of the mask (entropy in nats)",
    "MM": "mean of the mask",
    "AD (published)": "AD as published, with the softmax taken twice",
    "Fid-In (audio)": "1 if the explanation as audible sound keeps the decision",
}


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
        data=gallery_data([read_results(f) for f in folders], output),
    )


def gallery_data(results, output):
    """What the page shows, as plain lists and dictionaries (JSON without NaN).

    ``results`` are of ``read_results``; addresses are relative to the folder ``output``.
    """
    names = [_scenario_names(r) for r in results]
    shared = {n for i, these in enumerate(names) for n in these if n in sum(names[:i], [])}
    metrics = [m for m in ABOUT if any(m in row for row in _rows(results))]
    clips = []
    for number, result in enumerate(results, 1):
        for clip in result.clips:
            name = _scenario_name(clip)
            if name in shared:  # two evaluations of one scenario: say which
                name += f" ({number}: {result.folder.resolve().name})"
            clips.append(_clip_data(clip, name, metrics, output))
    return {
        "methods": list(dict.fromkeys(m for r in results for m in r.methods)),
        "metrics": [
            {
                "name": m,
                "better": METRICS[m].better if m in METRICS else "up",
                "decimals": METRICS[m].decimals if m in METRICS else 0,
                "about": ABOUT[m],
            }
            for m in metrics
        ],
        "scored": sum(r.total for r in results),
        "clips": clips,
    }


def _rows(results):
    return [row for r in results for clip in r.clips for row in clip.rows.values()]


def _scenario_name(clip):
    return f"{clip.scenario}, {clip.domain}"


def _scenario_names(result):
    return list(dict.fromkeys(map(_scenario_name, result.clips)))


def _clip_data(clip, scenario, metrics, output):
    files = {("input", "input"): clip.input}
    for method in clip.rows:
        for part in ("explanation", "removed"):
            files[method, part] = clip.file(method, f"{part}.wav")
    measured = {key: loudness(path) for key, path in files.items() if path}
    rms = {key: value for key, (_, value) in measured.items()}
    # What is as good as silent has no loudness to match.
    gains = matching_gains(
        {k: v for k, v in rms.items() if v > 1e-5}, rms.get(("input", "input"), 0.0)
    )

    def sound(key):
        if key not in measured:
            return None
        return {
            "url": relative_url(files[key], output),
            "seconds": round(measured[key][0], 3),
            "level": round(20 * math.log10(rms[key]), 1) if rms[key] > 1e-5 else None,
            "gain": round(gains.get(key, 1.0), 5),
        }

    return {
        "ID": clip.ID,
        "scenario": scenario,
        "label": clip.label,
        "decision": clip.decision,
        "correct": clip.correct,
        "p": clip.p,
        "input": sound(("input", "input")),
        "methods": {
            method: {
                "p_in": float(row["p_in"]),
                "p_out": float(row["p_out"]),
                "values": {m: _number(row.get(m)) for m in metrics},
                "explanation": sound((method, "explanation")),
                "removed": sound((method, "removed")),
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
