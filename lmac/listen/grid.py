"""Spectrogram grid for a paper: rows are clips, columns the input and each method.

    python -m lmac grid results/evaluation/mixtures_stft --ids=[a,b] \
        --methods=[L-MAC,Saliency]

Reads an evaluation's metrics.csv, the WAVs of its samples/ and, from its hyperparams.yaml, the
front end of its classifier; writes a PDF and a PNG.
"""

from pathlib import Path

import pandas as pd
import soundfile
import torch
from matplotlib import pyplot as plt

from lmac.command_line import Argument, CommandLine, Option
from lmac.config import construct
from lmac.domain import get_domain
from lmac.media.figures import decibels, draw_map

COMMAND_LINE = CommandLine(
    Argument("folder", "output folder of eval_explanations.py"),
    Option("ids", list, None, "clips, a row each; by default all that have samples"),
    Option("methods", list, None, "by default all that have samples of the first clip"),
    Option("output", str, None, "name.pdf or name.png, both are written; by default folder/grid"),
)


def _folders(path):
    return sorted(p.name for p in path.iterdir() if p.is_dir()) if path.is_dir() else []


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


def magnitudes(folder, domain):
    """``input`` and ``explanation`` of a sample's folder as magnitudes [T, F], and seconds.

    Each folder has its own gain, to keep its WAVs from clipping; relative to their own input's
    peak, the explanations of all methods can be compared.
    """
    waves = []
    for name in ("input", "explanation"):
        path = folder / f"{name}.wav"
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no {path}: only an evaluation in domain: stft writes audio samples."
            )
        samples, rate = soundfile.read(path, dtype="float32")
        if rate != domain.front_end.sample_rate:
            raise ValueError(
                f"{path} has {rate} Hz, but the evaluation {domain.front_end.sample_rate} Hz."
            )
        waves.append(torch.from_numpy(samples))
    waves = torch.stack(waves)
    scale = waves[0].abs().max().clamp_min(1e-8)
    return domain.front_end.magnitude(waves / scale), waves.shape[1] / rate


def grid_figure(folder, ids, methods, output):
    """Draw the grid of ``ids`` and ``methods`` and write ``output``.pdf and .png.

    Arguments
    ---------
    folder : path
        Of an evaluation: ``hyperparams.yaml``, ``metrics.csv``, ``samples/``.
    ids, methods : list of str
    output : path
        With or without the suffix .pdf or .png.

    Returns the two paths.

    Raises ValueError or FileNotFoundError for a file or a row that is missing.
    """
    domain = get_domain("stft", construct(folder / "hyperparams.yaml", "front_end"))
    rows = pd.read_csv(folder / "metrics.csv", keep_default_na=False, dtype=str)
    rows = rows.set_index(["method", "ID"])
    missing = [(m, i) for m in methods for i in ids if (m, i) not in rows.index]
    if missing:
        raise ValueError(f"{folder / 'metrics.csv'} has no row of {missing[0][0]} for "
                         f"{missing[0][1]}: finish the evaluation.")  # fmt: skip

    n_rows, n_columns = len(ids), 1 + len(methods)
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(0.6 + 2.6 * n_columns, 0.5 + 2.1 * n_rows),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ID, line in zip(ids, axes, strict=True):
        maps = []
        for method in methods:
            pair, seconds = magnitudes(folder / "samples" / ID / method, domain)
            maps += [pair[1]] if maps else [pair[0], pair[1]]
        for axis, values in zip(line, decibels(torch.stack(maps)), strict=True):
            # Rasterised: a PDF of half a million rectangles is slow to open.
            image = draw_map(axis, values, seconds, domain)
            image.set_rasterized(True)
            axis.tick_params(labelsize=7)
        first = rows.loc[(methods[0], ID)]
        line[0].set_title(
            f"{ID}\ndecision {first['decision']} (truth {first['label']}), "
            f"p = {float(first['p']):.2f}",
            fontsize=7,
        )
        line[0].set_ylabel(domain.axis_label, fontsize=8)
        for axis, method in zip(line[1:], methods, strict=True):
            row = rows.loc[(method, ID)]
            numbers = f"p_in = {float(row['p_in']):.2f}, p_out = {float(row['p_out']):.2f}"
            axis.set_title(f"{method}\n{numbers}", fontsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("time (s)", fontsize=8)
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=15 * n_rows)
    bar.set_label("dB below the row's maximum", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    # Other suffixes belong to the name: "two.clips".
    name = output.stem if output.suffix.lower() in (".pdf", ".png") else output.name
    paths = [output.with_name(f"{name}.{kind}") for kind in ("pdf", "png")]
    output.parent.mkdir(parents=True, exist_ok=True)
    for path in paths:
        figure.savefig(path, dpi=200)
    plt.close(figure)
    return paths


def main(argv):
    options = COMMAND_LINE.parse(argv)
    folder = Path(options["folder"])
    if not (folder / "metrics.csv").is_file():
        raise FileNotFoundError(
            f"There is no {folder / 'metrics.csv'}: give the output folder of eval_explanations.py."
        )
    available = _folders(folder / "samples")
    if not available:
        raise FileNotFoundError(
            f"There are no samples in {folder / 'samples'}: evaluate with --listen=10."
        )
    ids = _choose(options["ids"], available, "--ids", "clips with samples")
    of_first = _folders(folder / "samples" / ids[0])
    methods = _choose(options["methods"], of_first, "--methods", "methods with samples")
    output = Path(options["output"] or folder / "grid")
    for path in grid_figure(folder, ids, methods, output):
        print(path)
