"""Spectrogram grid for a paper: rows are clips, columns the input and each method.

    python -m lmac grid results/evaluation/mixtures_stft --ids=[a,b] \
        --methods=[L-MAC,Saliency]

Reads an evaluation's metrics.csv, the WAVs of its samples/ and, from its hyperparams.yaml, the
front end of its classifier; writes a PDF and a PNG.
"""

from pathlib import Path

from lmac.evaluation.folder import EvaluationFolder
from lmac.settings.command_line import Argument, CommandLine, Option

COMMAND_LINE = CommandLine(
    Argument("folder", "output folder of eval_explanations.py"),
    Option("ids", list, None, "clips, a row each; by default all that have samples"),
    Option("methods", list, None, "by default all that have samples of the first clip"),
    Option("output", str, None, "name.pdf or name.png, both are written; by default folder/grid"),
)


def _choose(names, available, option, what):
    """The ``names`` of an option, or all; ValueError that lists ``available``."""
    if not names:
        return available
    unknown = [n for n in names if n not in available]
    if unknown:
        raise ValueError(
            f"{option}: no samples of {', '.join(map(repr, unknown))}; {what}: "
            f"{', '.join(available)}."
        )
    return names


def main(argv):
    options = COMMAND_LINE.parse(argv)
    folder = EvaluationFolder(options["folder"])
    clips = {clip.ID: clip for clip in folder.clips_with_samples()}
    ids = _choose(options["ids"], sorted(clips), "--ids", "clips with samples")
    of_first = sorted(clips[ids[0]].folders)
    methods = _choose(options["methods"], of_first, "--methods", "methods with samples")
    output = Path(options["output"] or folder.path / "grid")
    # Here, so that --help, and what is wrong in the command line, need not wait for torch.
    from lmac.pages.grid_figure import grid_figure

    for path in grid_figure(folder, [clips[i] for i in ids], methods, output):
        print(path)
