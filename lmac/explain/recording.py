"""A recording as the classifier reads it: analysed once, for all methods and classes."""

from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from lmac.core.scoring import Clips
from lmac.io.names import shown

# A window whose level is this far below that of the loudest holds next to nothing to decide on.
QUIET_DB = -60.0
LOWEST_DB = -120.0  # of zeros, too: JSON has no infinity


@dataclass(frozen=True)
class Recording:
    """A recording, its windows, and what the classifier decided in each of them.

    Attributes
    ----------
    source : str
        The file, or what else is explained.
    labels : list of str
        All class names.
    gain : float
        From the recording to ``wav``, whose peak is 1.
    wav : Tensor [L']
        With zeros up to the end of the last window.
    n_samples : int
        L, without these zeros.
    starts : list of int
        First frame of each of the N windows.
    window, hop, sample_rate : int
        Samples of a window, samples from frame to frame, and Hz.
    clips : lmac.core.scoring.Clips
        Of the windows.
    X : Tensor [T, F]
        Spectrogram of ``wav``.
    phase : lmac.core.domain.Phase
        Of ``X``.
    levels_db : Tensor [N]
        Root mean square of each window's own samples, in dB over that of the loudest window.
    warning : str or None
        What has to be known of it, in one sentence.
    """

    source: str
    labels: list
    gain: float
    wav: Tensor
    n_samples: int
    starts: list
    window: int
    hop: int
    sample_rate: int
    clips: Clips
    X: Tensor
    phase: object
    levels_db: Tensor
    warning: str | None = None

    def reporting(self, progress):
        """The same, which calls ``progress`` with the number of windows that were read."""
        return replace(self, clips=replace(self.clips, progress=progress))

    @property
    def votes(self):
        """Which windows [N] count for the recording: those not below ``QUIET_DB``."""
        return self.levels_db >= QUIET_DB

    @property
    def probabilities(self):
        """Of every class, [K] in float64, mean over the windows that vote."""
        return self.clips.probs.cpu()[self.votes].mean(0)

    @property
    def name(self):
        """Of the file, without its folder."""
        return shown(Path(self.source).name)

    @property
    def seconds(self):
        return self.n_samples / self.sample_rate

    def top_classes(self, k=5):
        """The ``k`` most probable classes as (name, probability), best first."""
        return top_classes(self.labels, self.probabilities, k)

    def spans(self):
        """Beginning and end of every window in seconds; what was padded is not counted."""
        begins = [start * self.hop for start in self.starts]
        ends = [min(begin + self.window, self.n_samples) for begin in begins]
        return [
            (b / self.sample_rate, e / self.sample_rate) for b, e in zip(begins, ends, strict=True)
        ]

    def edges(self):
        """Where each window is drawn from and to, in seconds: half of an overlap is each one's."""
        spans = self.spans()
        inner = [(end + begin) / 2 for (_, end), (begin, _) in zip(spans, spans[1:], strict=False)]
        return [0.0, *inner, self.seconds]

    def __str__(self):
        (first, p), *others = self.top_classes()
        then = ", ".join(f"{name} {value:.3f}" for name, value in others)
        decided = f"{self.name} ({self.seconds:.1f} s): {first}, p = {p:.3f}"
        return decided + (f"; then {then}" if then else "")

    def __repr__(self):
        return f"<{self}>"

    def timeline(self):
        """Lines of text: what is decided in one window after another, those that agree together."""
        probs = self.clips.probs.cpu()
        decided = [
            self.labels[i] if votes else None
            for i, votes in zip(probs.argmax(1).tolist(), self.votes.tolist(), strict=True)
        ]
        spans, lines, begin = self.spans(), [], 0
        for name, group in groupby(decided):
            end = begin + len(list(group))
            time = f"{clock(spans[begin][0])}-{clock(spans[end - 1][1])}"
            if name is None:
                level = float(self.levels_db[begin:end].max())
                lines.append(f"{time}  next to silent ({level:.0f} dB), does not vote")
            else:
                p = probs[begin:end].amax(1)
                low, high = f"{p.min():.3f}", f"{p.max():.3f}"
                lines.append(f"{time}  {name}, p = {low if low == high else f'{low} to {high}'}")
            begin = end
        return lines


def top_classes(labels, probabilities, k):
    """The ``k`` most probable of ``labels`` as (name, probability), best first."""
    best = probabilities.topk(min(k, len(labels)))
    return [(labels[i], float(v)) for v, i in zip(*best, strict=True)]


def clock(seconds):
    """Seconds as ``1:02.5``."""
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 // 10:02}.{tenths % 10}"


def levels(windows, starts, hop, n_samples):
    """Levels in dB over the loudest, [N], of windows [N, L] of a recording of ``n_samples``.

    Zeros behind the recording's end do not count; nothing is below ``LOWEST_DB``.
    """
    own = [min(windows.shape[1], n_samples - start * hop) for start in starts]
    power = torch.stack([w[:n].double().square().mean() for w, n in zip(windows, own, strict=True)])
    return (10 * (power / power.max()).log10()).clamp_min(LOWEST_DB).cpu()
