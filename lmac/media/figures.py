"""Figures: confusion matrix, and an explanation with its axes in seconds and Hz."""

import matplotlib
import torch

matplotlib.use("Agg")  # figures are files; no screen is needed
from matplotlib import pyplot as plt  # noqa: E402

# Names are text: a "$" in them is no formula. Decorates what draws them.
names_as_text = matplotlib.rc_context({"text.parse_math": False})


@names_as_text
def confusion_figure(predicted, target, labels, path):
    """Confusion matrix (rows: truth, columns: decision) as a PNG at ``path``.

    ``predicted`` and ``target`` are class numbers, Tensors [N].
    """
    n = len(labels)
    counts = torch.bincount(target * n + predicted, minlength=n * n).reshape(n, n)
    size = 2.5 + 0.35 * n
    figure, axis = plt.subplots(figsize=(size, size), layout="constrained")
    axis.imshow(counts, cmap="Blues")
    axis.set_xticks(range(n), labels, rotation=90)
    axis.set_yticks(range(n), labels)
    axis.set(
        xlabel="decision",
        ylabel="class",
        title=f"Accuracy {100 * (predicted == target).float().mean():.1f} %, {len(target)} clips",
    )
    if n <= 20:
        for i in range(n):
            for j in range(n):
                if counts[i, j]:
                    colour = "white" if counts[i, j] > counts.max() / 2 else "black"
                    axis.text(j, i, int(counts[i, j]), ha="center", va="center", color=colour)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def decibels(magnitude, floor=-80.0):
    """Magnitude [...] to dB below its own maximum, clipped at ``floor``."""
    peak = magnitude.amax().clamp_min(1e-8)
    return (20 * (magnitude / peak).clamp_min(1e-8).log10()).clamp_min(floor)


def draw_map(axis, values, seconds, domain, colours="magma", limits=(-80, 0)):
    """Draw ``values`` [T, F] over time and frequency, by default dB; returns the image."""
    return axis.imshow(
        values.t(),
        origin="lower",
        aspect="auto",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        extent=(0, seconds, 0, domain.top_of_axis),
        interpolation="nearest",
    )


@names_as_text
def explanation_figure(X, mask, domain, title, path):
    """Input, mask and explanation of one clip, one above the other, as a PNG at ``path``.

    Arguments
    ---------
    X, mask : Tensor [T, F]
    domain : lmac.domain.Domain
        For the axes: seconds, and Hz or mel bands.
    title : str
    """
    front_end = domain.front_end
    seconds = (X.shape[0] - 1) * front_end.hop_samples / front_end.sample_rate
    magnitude, kept = torch.expm1(X), torch.expm1(mask * X)
    # One scale for input and explanation, so that what was removed looks removed.
    together = decibels(torch.stack([magnitude, kept]))
    panels = [
        ("input", together[0], "magma", (-80, 0), "dB"),
        ("mask", mask, "gray_r", (0, 1), ""),
        ("explanation", together[1], "magma", (-80, 0), "dB"),
    ]
    figure, axes = plt.subplots(
        3, 1, figsize=(8, 8), sharex=True, sharey=True, layout="constrained"
    )
    for axis, (name, values, colours, limits, unit) in zip(axes, panels, strict=True):
        image = draw_map(axis, values, seconds, domain, colours, limits)
        axis.set(ylabel=domain.axis_label, title=name)
        figure.colorbar(image, ax=axis, label=unit, pad=0.01)
    axes[-1].set_xlabel("time (s)")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=100)
    plt.close(figure)


@names_as_text
def questions_figure(X, explanations, domain, title, path):
    """One sound, several questions: the input above what is kept for each, as a PNG at ``path``.

    Arguments
    ---------
    X : Tensor [T, F]
    explanations : dict of str to Tensor [T, F]
        A line of text to its mask.
    domain : lmac.domain.Domain
        For the axes: seconds, and Hz or mel bands.
    title : str
    """
    front_end = domain.front_end
    seconds = (X.shape[0] - 1) * front_end.hop_samples / front_end.sample_rate
    kept = [torch.expm1(mask * X) for mask in explanations.values()]
    # One scale for all, so that what was removed looks removed.
    together = decibels(torch.stack([torch.expm1(X), *kept]))
    figure, axes = plt.subplots(
        len(together), 1, figsize=(8, 0.8 + 2.0 * len(together)), sharex=True, sharey=True,
        layout="constrained",
    )  # fmt: skip
    for axis, name, values in zip(axes, ["input", *explanations], together, strict=True):
        image = draw_map(axis, values, seconds, domain)
        axis.set_title(name, fontsize=10)
        axis.set_ylabel(domain.axis_label, fontsize=8)
    figure.colorbar(image, ax=axes, label="dB", pad=0.01)
    axes[-1].set_xlabel("time (s)")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=100)
    plt.close(figure)
