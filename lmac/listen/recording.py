"""A recording as the classifier heard it: analysed once, for all methods and classes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lmac.results.scoring import Clips

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
    window : int
        Samples of a window.
    clips : lmac.results.scoring.Clips
        Of the windows.
    X : Tensor [T, F]
        Spectrogram of ``wav``.
    phase : lmac.domain.Phase
        Of ``X``.
    levels_db : Tensor [N]
        Root mean square of each window's own samples, in dB over that of the loudest window.
    """

    source: str
    labels: list
    gain: float
    wav: Tensor
    n_samples: int
    starts: list
    window: int
    clips: Clips
    X: Tensor
    phase: object
    levels_db: Tensor

    @property
    def votes(self):
        """Which windows [N] count for the recording: those not below ``QUIET_DB``."""
        return self.levels_db >= QUIET_DB

    @property
    def probabilities(self):
        """Of every class, [K] in float64, mean over the windows that vote."""
        return self.clips.probs.cpu()[self.votes].mean(0)


def levels(windows, starts, hop, n_samples):
    """Levels in dB over the loudest, [N], of windows [N, L] of a recording of ``n_samples``.

    Zeros behind the recording's end do not count; nothing is below ``LOWEST_DB``.
    """
    own = [min(windows.shape[1], n_samples - start * hop) for start in starts]
    power = torch.stack([w[:n].double().square().mean() for w, n in zip(windows, own, strict=True)])
    return (10 * (power / power.max()).log10()).clamp_min(LOWEST_DB).cpu()
