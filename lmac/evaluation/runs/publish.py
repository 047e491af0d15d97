"""Copy the results of a recipe that may be published: numbers and a few figures, no audio.

    python -m lmac publish results/ESC10 recipes/ESC10/results --figures=[mixtures_stft]

From <results_folder>/evaluation/*, /tables/* and /classifier/best to folders of the same names,
those of the evaluations at the top; and what was collected over seeds and folds. Rows are
compressed (metrics.csv.gz). What was changed by hand is refused, and so is a destination with files
of others in the way: a SHA256SUMS in each folder lists what was published there.
"""

import json
from functools import partial
from pathlib import Path

from lmac.evaluation.files import (
    PICTURES,
    PROVENANCE,
    PUBLISHED,
    ROWS,
    public,
    public_provenance,
)
from lmac.evaluation.folder import EvaluationFolder
from lmac.io.files import content_of, found, packed, publish_files, require_undamaged
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
REMEDY = "what was changed by hand is not published: run what writes it again, or restore it."


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
    for; Damaged for a file that is not as it was written; ValueError for a destination that is the
    source, and for files there that were not published before.
    """
    source, destination = Path(source), Path(destination)
    if destination.resolve() == source.resolve():
        raise ValueError(f"{destination} is what is to be copied: give another destination.")
    parts = []
    for folder in sorted(source.glob("evaluation/*")):
        if found(folder / "metrics.csv").is_file():
            EvaluationFolder(folder).rows()  # each with its checksum
        names = PUBLISHED + (PICTURES if folder.name in figures else ())
        parts.append((folder, destination / folder.name, names))
    parts += [(f, destination / "tables" / f.name, TABLE) for f in sorted(source.glob("tables/*"))]
    parts.append((source / "classifier" / "best", destination / "classifier", CLASSIFIER))
    for repeats in ("seeds", "folds"):
        collected = [p.name for p in sorted((source / repeats).glob("*.*")) if p.suffix in REPEATS]
        parts.append((source / repeats, destination / repeats, collected))
    ready = [(to, _writers(folder, names)) for folder, to, names in parts]
    ready = [(to, writers) for to, writers in ready if writers]
    if not ready:
        raise FileNotFoundError(f"There are no results below {source}: run the recipe first.")
    ready += [
        (destination / name / "figures", _pictures(source / "evaluation" / name))
        for name in figures
    ]
    for to, writers in ready:
        publish_files(writers, to, only=to.name == "figures")
    return [to for to, _ in ready]


def _writers(folder, names):
    """Name to a function that writes it, of the files in ``folder`` that are there and whole."""
    writers = {}
    for name in names:
        path = found(folder / name)
        if not path.is_file():
            continue
        data = content_of(require_undamaged(path, REMEDY))
        if name in PUBLIC:
            try:
                content = PUBLIC[name](json.loads(data))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path} is not as it was written: {REMEDY}") from error
            data = (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
        if name in ROWS:
            name, data = f"{name}.gz", packed(data)
        writers[name] = partial(_write, data)
    return writers


def _write(data, file):
    file.write(data)


def _pictures(folder):
    """Name to a function that writes it, of the pictures of some clips."""
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
    return {name: partial(_write_small, path) for name, path in there.items()}


def _write_small(path, file):
    """A picture with a palette of 64 colours, which takes a third of the bytes."""
    from PIL import Image

    small = Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(file, "PNG", optimize=True)


def main(argv):
    for folder in publish(**COMMAND_LINE.parse(argv)):
        print(f"Copied to {folder}")
