"""Copy the results of a recipe that may be published: numbers and a few figures, no audio.

    python -m lmac publish results/ESC10 recipes/ESC10/results --figures=mixtures_stft

From <results_folder>/evaluation/*, /tables/* and /classifier/best to folders of the same names,
those of the evaluations at the top; and what was collected over seeds and folds.
"""

import json
import shutil
from pathlib import Path

from lmac.evaluation.files import PROVENANCE, PUBLISHED, public, public_provenance
from lmac.settings.command_line import Argument, CommandLine, Option

COMMAND_LINE = CommandLine(
    Argument("source", "results folder of a recipe"),
    Argument("destination", "folder to copy to"),
    Option("figures", list, (), "evaluations whose pictures of three clips are copied, too"),
)
TABLE = ("table.csv", "table.md", "table.tex")
CLASSIFIER = ("info.json", "confusion.png")
REPEATS = (".csv", ".md")
# What is copied without the paths of this machine.
PUBLIC = {"info.json": public, PROVENANCE: public_provenance}
FIGURE_METHODS = ("L-MAC", "L-MAC FT", "L-MAC-ZS", "GradCAM", "Saliency")
FIGURE_CLIPS = 3


def publish(source, destination, figures=()):
    """Copy what may be published; returns the folders that were written.

    Arguments
    ---------
    source : path
        Results folder of a recipe.
    destination : path
    figures : list of str
        Names of evaluations of which figures are copied, such as "mixtures_stft".

    Raises FileNotFoundError when there is nothing to publish, or no figure where some were asked
    for.
    """
    source, destination = Path(source), Path(destination)
    parts = [(f, destination / f.name, PUBLISHED) for f in sorted(source.glob("evaluation/*"))]
    parts += [(f, destination / "tables" / f.name, TABLE) for f in sorted(source.glob("tables/*"))]
    parts.append((source / "classifier" / "best", destination / "classifier", CLASSIFIER))
    for repeats in ("seeds", "folds"):
        collected = [p.name for p in sorted((source / repeats).glob("*.*")) if p.suffix in REPEATS]
        parts.append((source / repeats, destination / repeats, collected))
    written = [to for folder, to, names in parts if _copy(folder, to, names)]
    if not written:
        raise FileNotFoundError(f"There are no results below {source}: run the recipe first.")
    for name in figures:
        _copy_figures(source / "evaluation" / name, destination / name / "figures")
    return written


def _copy(folder, to, names):
    there = [name for name in names if (folder / name).is_file()]
    for name in there:
        to.mkdir(parents=True, exist_ok=True)
        if name in PUBLIC:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            text = json.dumps(PUBLIC[name](content), indent=2, ensure_ascii=False)
            (to / name).write_text(text + "\n", encoding="utf-8")
        else:
            shutil.copyfile(folder / name, to / name)
    return bool(there)


def _copy_figures(folder, to):
    there = {}
    # Those with the most methods: some clips may have audio of one method only.
    clips = [
        (clip, [m for m in FIGURE_METHODS if (clip / m / "explanation.png").is_file()])
        for clip in sorted((folder / "samples").glob("*"))
    ]
    for clip, methods in sorted(clips, key=lambda c: -len(c[1]))[:FIGURE_CLIPS]:
        there |= {f"{clip.name}_{m}.png": clip / m / "explanation.png" for m in methods}
    if not there:
        raise FileNotFoundError(
            f"figures: no pictures in {folder / 'samples'}; evaluate with --listen=10."
        )
    to.mkdir(parents=True, exist_ok=True)
    for old in to.glob("*.png"):
        old.unlink()  # of other clips
    for name, path in there.items():
        shutil.copyfile(path, to / name)


def main(argv):
    for folder in publish(**COMMAND_LINE.parse(argv)):
        print(f"Copied to {folder}")
