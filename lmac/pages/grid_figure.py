"""The figure of ``python -m lmac grid``: spectrograms of clips and methods."""

import soundfile
import torch
from matplotlib import pyplot as plt

from lmac.core.domain import get_domain
from lmac.explain.figures import decibels, draw_map, names_as_text
from lmac.io.files import whole
from lmac.settings.load import construct


def magnitudes(clip, method, domain):
    """Input and explanation of a :class:`Clip` as magnitudes [T, F], and seconds.

    Each clip has its own gain, to keep its WAVs from clipping; relative to its input's peak,
    explanations can be compared.
    """
    waves = []
    for name, path in (
        ("input", clip.input_of(method)),
        ("explanation", clip.file(method, "explanation.wav")),
    ):
        if path is None:
            raise FileNotFoundError(
                f"There is no {name}.wav of {clip.ID!r} and {method!r} in {clip.folder}: only an "
                "evaluation in domain: stft writes audio samples."
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


@names_as_text
def grid_figure(folder, clips, methods, output):
    """Draw the grid of ``clips`` and ``methods`` and write ``output``.pdf and .png.

    Arguments
    ---------
    folder : EvaluationFolder
        Whose ``hyperparams.yaml`` tells the front end.
    clips : list of lmac.evaluation.clip.Clip
    methods : list of str
    output : path
        With or without the suffix .pdf or .png.

    Returns the two paths.

    Raises ValueError or FileNotFoundError for a file or a row that is missing.
    """
    domain = get_domain("stft", construct(folder.path / "hyperparams.yaml", "front_end"))
    missing = [(m, clip.ID) for m in methods for clip in clips if m not in clip.rows]
    if missing:
        raise ValueError(f"{folder.metrics_csv} has no row of {missing[0][0]} for "
                         f"{missing[0][1]}: finish the evaluation.")  # fmt: skip

    n_rows, n_columns = len(clips), 1 + len(methods)
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(0.6 + 2.6 * n_columns, 0.5 + 2.1 * n_rows),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for clip, line in zip(clips, axes, strict=True):
        maps = []
        for method in methods:
            pair, seconds = magnitudes(clip, method, domain)
            maps += [pair[1]] if maps else [pair[0], pair[1]]
        for axis, values in zip(line, decibels(torch.stack(maps)), strict=True):
            # Rasterised: a PDF of half a million rectangles is slow to open.
            image = draw_map(axis, values, seconds, domain)
            image.set_rasterized(True)
            axis.tick_params(labelsize=7)
        line[0].set_title(
            f"{clip.ID}\ndecision {clip.decision} (truth {clip.label}), p = {clip.p:.2f}",
            fontsize=7,
        )
        line[0].set_ylabel(domain.axis_label, fontsize=8)
        for axis, method in zip(line[1:], methods, strict=True):
            row = clip.rows[method]
            numbers = f"p_in = {row['p_in']:.2f}, p_out = {row['p_out']:.2f}"
            axis.set_title(f"{method}\n{numbers}", fontsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("time (s)", fontsize=8)
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=15 * n_rows)
    bar.set_label("dB below the row's maximum", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    # Other suffixes belong to the name: "two.clips".
    name = output.stem if output.suffix.lower() in (".pdf", ".png") else output.name
    paths = [output.with_name(f"{name}.{kind}") for kind in ("pdf", "png")]
    for path in paths:
        with whole(path, sync=False) as file:
            figure.savefig(file, format=path.suffix[1:], dpi=200)
    plt.close(figure)
    return paths
