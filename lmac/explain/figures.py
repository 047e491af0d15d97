"""Figures: confusion matrix, and an explanation with its axes in seconds and Hz."""

import textwrap
from functools import lru_cache
from threading import Lock

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

matplotlib.use("Agg")  # figures are files; no screen is needed
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from lmac.io.files import whole  # noqa: E402

# Pictures of maps have no more pixels, panels of figures no more frames: longer recordings are
# averaged to it.
WIDEST, HIGHEST = 12000, 1024
WIDEST_PANEL = 2000
# zlib's level: of pictures of noise, 6 saves a hundredth more, in twice the time.
COMPRESSION = 3
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
    _save(figure, path, 120)
    plt.close(figure)


def _save(figure, path, dpi):
    """Write a PNG, whole or not at all."""
    with whole(path, sync=False) as file:
        figure.savefig(file, format="png", dpi=dpi, pil_kwargs={"compress_level": COMPRESSION})


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


class _Frame:
    """All of explanation figures but their pictures and titles: laid out and drawn once.

    That takes most of the time of a figure, and is the same for all clips of a length.

    Arguments
    ---------
    seconds : float
    domain : lmac.core.domain.Domain
    lines : int
        Of the title, for which there is room.
    """

    DPI = 100
    # Name, colours, limits and unit of the panels.
    PANELS = (
        ("input", "magma", (-80, 0), "dB"),
        ("mask", "gray_r", (0, 1), ""),
        ("explanation", "magma", (-80, 0), "dB"),
    )

    def __init__(self, seconds, domain, lines):
        self.figure = Figure(figsize=(8, 8), dpi=self.DPI, layout="constrained")
        self.canvas = FigureCanvasAgg(self.figure)
        self.axes = self.figure.subplots(len(self.PANELS), 1, sharex=True, sharey=True)
        self.images = []
        for axis, (name, colours, limits, unit) in zip(self.axes, self.PANELS, strict=True):
            image = draw_map(axis, torch.zeros(1, 1), seconds, domain, colours, limits)
            axis.set(ylabel=domain.axis_label, title=name)
            self.figure.colorbar(image, ax=axis, label=unit, pad=0.01)
            self.images.append(image)
        self.axes[-1].set_xlabel("time (s)")
        self.title = self.figure.suptitle("\n".join(["($p)"] * lines), fontsize=11)
        for _ in range(2):  # as savefig does, so that the layout settles
            self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        # Spines as well, for half of their width is above the pictures.
        self.spines = [list(axis.spines.values()) for axis in self.axes]
        for artist in (*self.images, *sum(self.spines, []), self.title):
            artist.set_animated(True)  # left out where all is drawn
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(self.figure.bbox)
        self.lock = Lock()

    def write(self, panels, title, path):
        """Draw ``panels``, a map [T, F] each, under ``title`` into a PNG at ``path``."""
        with self.lock:
            self.canvas.restore_region(self.background)
            for image, spines, values in zip(self.images, self.spines, panels, strict=True):
                image.set_data(values.t())
                for artist in (image, *spines):
                    self.figure.draw_artist(artist)
            self.title.set_text(title)
            self.figure.draw_artist(self.title)
            picture = Image.fromarray(np.asarray(self.canvas.buffer_rgba())).convert("RGB")
        with whole(path, sync=False) as file:
            dpi = (self.DPI, self.DPI)
            picture.save(file, "PNG", compress_level=COMPRESSION, dpi=dpi)


_frame = lru_cache(maxsize=4)(_Frame)
forget_frames = _frame.cache_clear


@names_as_text
def explanation_figure(X, mask, domain, title, path):
    """Input, mask and explanation of one clip, one above the other, as a PNG at ``path``.

    Arguments
    ---------
    X, mask : Tensor [T, F]
    domain : lmac.core.domain.Domain
        For the axes: seconds, and Hz or mel bands.
    title : str
    """
    front_end = domain.front_end
    seconds = (X.shape[0] - 1) * front_end.hop_samples / front_end.sample_rate
    mask, magnitude, kept = (
        _fitting(values, WIDEST_PANEL) for values in (mask, torch.expm1(X), torch.expm1(mask * X))
    )
    # One scale for input and explanation, so that what was removed looks removed.
    together = decibels(torch.stack([magnitude, kept]))
    frame = _frame(seconds, domain, title.count("\n") + 1)
    frame.write((together[0], mask, together[1]), title, path)


@names_as_text
def questions_figure(X, explanations, domain, title, path):
    """One sound, several questions: the input above what is kept for each, as a PNG at ``path``.

    Arguments
    ---------
    X : Tensor [T, F]
    explanations : dict of str to Tensor [T, F]
        A line of text to its mask.
    domain : lmac.core.domain.Domain
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
    _save(figure, path, 100)
    plt.close(figure)


@names_as_text
def timeline_figure(classes, probabilities, edges, votes, title, path):
    """Probabilities of a few classes over the windows of a long recording, as a PNG at ``path``.

    Arguments
    ---------
    classes : list of str
        Of K rows, from the top.
    probabilities : Tensor [N, K]
    edges : list of float
        Where each window is drawn from and to, in seconds, N + 1.
    votes : list of bool
        Windows next to silent are hatched.
    title : str
    """
    figure, axis = plt.subplots(figsize=(9, 1.6 + 0.32 * len(classes)), layout="constrained")
    rows = range(len(classes) + 1)
    mesh = axis.pcolormesh(
        edges, [r - 0.5 for r in rows], probabilities.t(), cmap="Blues", vmin=0, vmax=1,
        edgecolors="white", linewidth=0.5 if len(votes) <= 60 else 0,
    )  # fmt: skip
    for begin, end, counts in zip(edges, edges[1:], votes, strict=False):
        if not counts:
            axis.axvspan(begin, end, facecolor="0.9", edgecolor="0.6", hatch="//", linewidth=0)
    axis.invert_yaxis()
    axis.set_yticks(range(len(classes)), classes)
    axis.set(xlabel="time (s)", title=title)
    axis.title.set_fontsize(10)
    figure.colorbar(mesh, ax=axis, label="probability", pad=0.01)
    _save(figure, path, 100)
    plt.close(figure)


def write_spectrogram(X, domain, path):
    """``X`` [T, F] in dB as a PNG without axes, a pixel for each frame and band, for pages."""
    magnitude = _fitting(torch.expm1(X))
    levels = ((decibels(magnitude) + 80) / 80 * 255).round().byte()
    colours = (matplotlib.colormaps["magma"](range(256))[:, :3] * 255).round().astype("uint8")
    image = _image(levels)
    image.putpalette(colours.tobytes())
    with whole(path, sync=False) as file:
        image.save(file, "PNG", optimize=True)


def write_mask(mask, path):
    """``mask`` [T, F] as a PNG to be laid over that spectrogram: black, opaque where it removes."""
    removed = ((1 - _fitting(mask)) * 255).round().byte()
    image = _image(removed)
    image.putpalette(bytes(3 * 256))
    with whole(path, sync=False) as file:
        image.save(file, "PNG", transparency=bytes(range(256)))


def _fitting(values, widest=WIDEST):
    """``values`` [T, F], averaged to the size that pictures have at most."""
    size = min(values.shape[0], widest), min(values.shape[1], HIGHEST)
    if size == values.shape:
        return values
    return F.adaptive_avg_pool2d(values[None], size)[0]


def _image(values):
    """Numbers [T, F] of palette colours as an image: time to the right, frequency up."""
    return Image.fromarray(values.t().flip(0).contiguous().numpy()).convert("P")


@names_as_text
def _with_ai(method, scores):
    return f"{method} (AI {scores[method]:.0f})" if scores and method in scores else method


def asked_figure(summary, path, scores=None):
    """Carving against asked source, a panel for each level and a point for each method.

    Arguments
    ---------
    summary : DataFrame
        ``method, snr_db, false_explanation, asked_source`` (percent), and the last
        two with " lo" and " hi".
    path : path
        Of the PNG.
    scores : dict, optional
        Method to its AI on the classifier's own decisions, the third that a method may buy the
        other two with.
    """
    levels = sorted(summary["snr_db"].unique(), reverse=True)
    figure, axes = plt.subplots(
        1, len(levels), figsize=(5 * len(levels), 4.2), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis, level in zip(axes[0], levels, strict=True):
        rows = summary[(summary["snr_db"] == level) & summary["asked_source"].notna()]
        for row in rows.to_dict("records"):
            spans = [
                [[max(0, row[name] - row[f"{name} lo"])], [max(0, row[f"{name} hi"] - row[name])]]
                for name in ("false_explanation", "asked_source")
            ]
            axis.errorbar(
                row["false_explanation"], row["asked_source"], xerr=spans[0], yerr=spans[1],
                marker="o", linewidth=1, linestyle="none", label=_with_ai(row["method"], scores),
            )  # fmt: skip
        axis.axhline(50, color="grey", linewidth=0.8, linestyle=":")
        axis.set(
            title=f"{level:g} dB", xlabel="false explanations (%), less is better", ylim=(40, 102)
        )
        axis.set_xlim(left=-0.5)
    axes[0][0].set_ylabel("asked source (%), 50 is chance")
    axes[0][-1].legend(fontsize=8)
    _save(figure, path, dpi=100)
    plt.close(figure)


@names_as_text
def audit_figure(summary, networks, path):
    """Fid-In under every network: a panel each, a bar with its interval for each method.

    Crosses are the same masks' values in random cells.

    Arguments
    ---------
    summary : DataFrame
        Of :func:`lmac.evaluation.checks.audit.summary_of`.
    networks : list of str
        Names of the other classifiers.
    path : path
        Of the PNG.
    """
    panels = {"the classifier explained": "", **{name: f" ({name})" for name in networks}}
    figure, axes = plt.subplots(
        1, len(panels), figsize=(1.5 + 2.6 * len(panels), 1.2 + 0.3 * len(summary)), sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    places = range(len(summary))
    for axis, (title, end) in zip(axes[0], panels.items(), strict=True):
        mean = summary[f"Fid-In{end}"]
        low, high = (summary[f"Fid-In{end} {side}"].fillna(mean) for side in ("lo", "hi"))
        spans = [(mean - low).clip(lower=0), (high - mean).clip(lower=0)]
        axis.barh(places, mean, xerr=spans, color="C0", error_kw={"linewidth": 1})
        axis.plot(summary[f"Fid-In random{end}"], places, "x", color="C1")
        axis.set(xlim=(0, 1.02), xlabel="Fid-In")
        axis.set_title(textwrap.fill(title, 24), fontsize=9)
    axes[0][0].set_yticks(places, summary["method"])
    axes[0][0].invert_yaxis()
    _save(figure, path, dpi=100)
    plt.close(figure)


def planted_figure(rows, path):
    """Where masks are, against where the cue is: measures by level, and AP by kind of cue.

    Arguments
    ---------
    rows : DataFrame
        A row per clip and method: ``method``, ``snr_db``, ``family``, ``auc``, ``ap``,
        ``cue_kept``, ``distractor_kept``, ``pointing``.
    path : path
        Of the PNG.
    """
    panels = {
        "auc": "AUC", "ap": "AP", "cue_kept": "cue kept", "distractor_kept": "distractor kept",
        "pointing": "pointing",
    }  # fmt: skip
    panels = {column: title for column, title in panels.items() if rows[column].notna().any()}
    methods = list(rows["method"].unique())
    levels = sorted(rows["snr_db"].unique(), reverse=True)
    figure, axes = plt.subplots(
        1, len(panels) + 1, figsize=(3.5 + 1.9 * len(panels), 1.3 + 0.26 * len(methods)),
        sharey=True, layout="constrained",
    )  # fmt: skip
    places = range(len(methods))
    for axis, (column, title) in zip(axes, panels.items(), strict=False):
        means = rows.groupby(["method", "snr_db"])[column].mean()
        for number, level in enumerate(levels):
            values = [means.get((method, level), float("nan")) for method in methods]
            axis.plot(
                values, places, "os^vD"[number % 5], color=f"C{number}", label=f"{level:+g} dB"
            )
        axis.set(xlim=(-0.03, 1.03), title=title)
        axis.grid(axis="both", alpha=0.3)
    axes[0].set_yticks(places, methods)
    axes[0].invert_yaxis()
    axes[0].legend(fontsize=8, loc="lower left")
    by_family = rows.pivot_table("ap", "method", "family", "mean", sort=False).reindex(methods)
    picture = axes[-1].imshow(by_family, vmin=0, vmax=1, aspect="auto", cmap="viridis")
    axes[-1].set_xticks(range(by_family.shape[1]), by_family.columns, rotation=45, ha="right")
    axes[-1].set(title="AP by cue")
    figure.colorbar(picture, ax=axes[-1])
    _save(figure, path, dpi=100)
    plt.close(figure)
