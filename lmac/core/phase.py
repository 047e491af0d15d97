"""The phase of recordings, beside their magnitudes."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Phase:
    """What turns a magnitude back into sound: the recordings' STFT and their length.

    An argument of its own beside ``X``, made with it by ``domain.analyse``. Whoever cuts, picks or
    repeats clips of ``X`` does the same to the phase; another number of clips or frames than
    that of ``X`` is refused where the two meet (:meth:`check`).

    Attributes
    ----------
    spectrum : Tensor, complex [B, T, n_bins]
        Of which only the phase is used.
    n_samples : int
        Length of the recordings.
    """

    spectrum: Tensor
    n_samples: int

    def __post_init__(self):
        if self.spectrum.dim() != 3 or not self.spectrum.is_complex():
            raise ValueError(
                "A phase needs a complex STFT [clips, frames, bins], got "
                f"{self.spectrum.dtype} {tuple(self.spectrum.shape)}."
            )

    @property
    def parts(self):
        """(spectrum, n_samples): ``additional_forward_args`` for Captum.

        Captum repeats and cuts tensors among these as it does with X, in the same order, and
        hands on anything else as it is: a Phase as a whole would not keep up with its X.
        """
        return self.spectrum, self.n_samples

    def __len__(self):
        """Number of clips."""
        return len(self.spectrum)

    def __getitem__(self, index):
        """The clips of a slice, a list or a vector; a single number is a TypeError."""
        if isinstance(index, slice | list) or (isinstance(index, Tensor) and index.dim() == 1):
            return Phase(self.spectrum[index], self.n_samples)
        raise TypeError(
            f"phase[{index!r}]: expected a slice, a list or a vector of clips; for one clip "
            "phase[i : i + 1]."
        )

    def split(self, n):
        """Pieces of ``n`` clips, as ``X.split(n)``."""
        return [Phase(s, self.n_samples) for s in self.spectrum.split(n)]

    def to(self, device):
        """The same on ``device``."""
        return Phase(self.spectrum.to(device), self.n_samples)

    @classmethod
    def cat(cls, phases):
        """One after another, as ``torch.cat``; ValueError for recordings of different lengths."""
        lengths = {p.n_samples for p in phases}
        if len(lengths) != 1:
            raise ValueError(
                f"Phases of recordings of {', '.join(map(str, sorted(lengths)))} samples cannot "
                "be one batch: pad the recordings to one length."
            )
        return cls(torch.cat([p.spectrum for p in phases]), lengths.pop())

    def check(self, X):
        """ValueError unless ``X`` has as many clips, frames and bins."""
        if X.shape != self.spectrum.shape:
            raise ValueError(
                f"X has the shape {tuple(X.shape)} and its phase {tuple(self.spectrum.shape)} "
                "(clips, frames, bins): take both from one domain.analyse, and cut, pick or "
                "repeat their clips alike."
            )
