"""Explanation domains: what the mask multiplies, and how the classifier hears the result.

The same frozen classifier can be explained in two domains (paper, section 3):

- ``stft`` (listenable): ``X = log1p(|S|)``, shape (B, T, n_fft // 2 + 1);
- ``mel`` (not listenable): ``X = log1p(mel(|S|))``, shape (B, T, n_mels).

A mask always has the shape of ``X``. A classifier that reads waveforms, or that is made to hear
them (``hearing: waveform``), hears the masked STFT with the phase of its recording, resynthesised:
:class:`WaveformDomain`.
"""

import torch
import torchaudio
from torch import nn

from lmac.front_end import FrontEnd
from lmac.phased import values, with_spectrum

__all__ = ["FrontEnd", "Domain", "StftDomain", "MelDomain", "WaveformDomain", "get_domain"]


class Domain(nn.Module):
    """What is masked. ``reads`` is what the classifier takes: ``"mel"`` or ``"stft"``."""

    name = None
    listenable = False
    axis_label = None
    # Samples of the longest recording that the classifier takes; None for any length.
    longest_input = None

    def __init__(self, front_end, reads="mel"):
        super().__init__()
        if reads not in ("mel", "stft"):
            raise ValueError(
                f"A classifier reads 'mel' or 'stft' features, or a 'waveform', got {reads!r}."
            )
        self.front_end = front_end
        self.reads = reads

    def analyse(self, wav):
        """Waveform [B, L] to ``X`` [B, T, F] and its complex STFT [B, T, n_bins]."""
        raise NotImplementedError

    def to_features(self, X):
        """``X`` [B, T, F] to what the classifier reads; differentiable."""
        raise NotImplementedError

    def hear(self, wav):
        """Waveform [B, L] to what the classifier reads, without a mask: for its training."""
        return self.to_features(self.analyse(wav)[0])

    def picture(self, X):
        """``X`` [B, T, F] to a map [B, T, n_features], which decoders look at."""
        return self.to_features(X)

    def spread(self, bands):
        """Maps [..., T, n_features] at the classifier's resolution to the one of ``X``."""
        return bands

    def gather(self, X):
        """Mean of ``X`` [..., T, F] in each of the classifier's bands, the reverse of spread."""
        return X

    @property
    def description(self):
        """What tells results of one domain from those of another."""
        return self.name

    @property
    def top_of_axis(self):
        """Upper end of the frequency axis of figures, in the unit of ``axis_label``."""
        return self.front_end.sample_rate / 2

    @property
    def n_features(self):
        """Number of bands the classifier reads."""
        return self.front_end.n_mels if self.reads == "mel" else self.front_end.n_bins

    def synthesise(self, X, spectrum, length):
        """``X`` [B, T, F] with the phase of ``spectrum`` to a waveform [B, length]."""
        raise NotImplementedError(
            f"The {self.name!r} domain has no phase and cannot be listened to; "
            "use domain: stft for audio."
        )


class StftDomain(Domain):
    """``X = log1p(|S|)``; masked input of the classifier ``log1p(mel(expm1(M * X)))``."""

    name = "stft"
    listenable = True
    axis_label = "frequency (Hz)"

    def __init__(self, front_end, reads="mel"):
        super().__init__(front_end, reads)
        band_to_bin = front_end.band_matrix
        self.register_buffer(
            "bin_to_band", (band_to_bin / band_to_bin.sum(1, keepdim=True)).t(), persistent=False
        )

    def analyse(self, wav):
        spectrum = self.front_end(wav)
        return torch.log1p(spectrum.abs()), spectrum

    def to_features(self, X):
        if self.reads == "stft":
            return X
        return self.front_end.log_mel(torch.expm1(X))

    def spread(self, bands):
        return bands @ self.front_end.band_matrix if self.reads == "mel" else bands

    def gather(self, X):
        return X @ self.bin_to_band if self.reads == "mel" else X

    def synthesise(self, X, spectrum, length):
        # sgn is exp(i angle), without the angle, and 0 where there is nothing to turn.
        return self.front_end.inverse(torch.expm1(X) * spectrum.sgn(), length)


class MelDomain(Domain):
    """``X = log1p(mel(|S|))``, the classifier's own input; cannot be turned into sound."""

    name = "mel"
    axis_label = "mel band"

    def __init__(self, front_end, reads="mel"):
        super().__init__(front_end, reads)
        if reads != "mel":
            raise ValueError(
                "This classifier reads log1p(|STFT|), so it has no mel domain: use domain: stft."
            )

    def analyse(self, wav):
        spectrum = self.front_end(wav)
        return self.front_end.log_mel(spectrum.abs()), spectrum

    def to_features(self, X):
        return X

    @property
    def top_of_axis(self):
        return self.front_end.n_mels


class WaveformDomain(StftDomain):
    """``X = log1p(|S|)``; the classifier hears ``iSTFT(expm1(M * X) exp(i angle(S)))``.

    ``X`` of :meth:`analyse` carries its phase (``lmac.phased``) through what interpreters do to
    it: another tensor of the same shape is refused. A mask of zeros and ones apart, a masked STFT
    is the STFT of no signal; here the classifier is scored on the very sound of the explanation.

    Arguments
    ---------
    front_end : FrontEnd
    reads : str
        ``"waveform"``; a classifier that reads ``"mel"`` or ``"stft"`` hears the analysis of the
        sound.
    input_rate : int, optional
        Hz, of a classifier that reads waveforms; that of the front end when not given.
    input_length : int, optional
        Samples at that rate, of a classifier that takes one length only. Shorter sound is
        zero-padded at its end, longer sound refused (ValueError).
    pad : bool
        False for a classifier that pads by itself.
    """

    def __init__(self, front_end, reads="waveform", input_rate=None, input_length=None, pad=True):
        # Maps for decoders are mel bands, where the classifier itself reads none.
        super().__init__(front_end, "mel" if reads == "waveform" else reads)
        self.direct = None if reads == "waveform" else StftDomain(front_end, reads)
        self.input_rate = input_rate or front_end.sample_rate
        self.input_length = input_length
        self.pad = pad
        if input_length is not None:
            self.longest_input = int(input_length * front_end.sample_rate / self.input_rate)

    @property
    def description(self):
        return "stft, heard as waveform"

    def analyse(self, wav):
        X, spectrum = super().analyse(wav)
        return with_spectrum(X, spectrum, wav.shape[1]), spectrum

    def to_features(self, X):
        if getattr(X, "spectrum", None) is None:
            raise ValueError(
                "On the waveform path X needs the phase of its recording, and this one has lost "
                "it: take X from domain.analyse, and make others by slices, concatenation, sums "
                "and products with masks (lmac/phased.py lists the operations)."
            )
        return self._listen(self.synthesise(values(X), X.spectrum.to(X.device), X.n_samples))

    def hear(self, wav):
        return self._listen(wav)

    def picture(self, X):
        return super().to_features(values(X))

    def _listen(self, wav):
        """Waveform [B, L] at the front end's rate to what the classifier reads."""
        if self.direct is not None:
            return self.direct.to_features(self.direct.analyse(wav)[0])
        if self.input_rate != self.front_end.sample_rate:
            with torch.autocast(wav.device.type, enabled=False):  # 8 bits would be heard
                wav = torchaudio.functional.resample(
                    wav, self.front_end.sample_rate, self.input_rate
                )
        if self.input_length is None:
            return wav
        if wav.shape[1] > self.input_length:
            raise ValueError(
                f"This classifier takes {self.input_length / self.input_rate:.2f} s at most, the "
                f"clip has {wav.shape[1] / self.input_rate:.2f} s: use a smaller "
                "--signal_length_s (explain.py: --window_s)."
            )
        missing = self.input_length - wav.shape[1] if self.pad else 0
        return nn.functional.pad(wav, (0, missing))


DOMAINS = {"stft": StftDomain, "mel": MelDomain}
HEARING = ("direct", "waveform")


def get_domain(
    name, front_end, reads="mel", hearing="direct", input_rate=None, input_length=None, pad=True
):
    """The domain called ``name``, for a classifier that reads ``reads``.

    Arguments
    ---------
    name : str
        ``"stft"`` or ``"mel"``.
    front_end : FrontEnd
    reads : str
        ``"mel"``, ``"stft"`` or ``"waveform"``.
    hearing : str
        ``"direct"`` gives a classifier that reads spectrograms the masked one itself,
        ``"waveform"`` the analysis of the sound it makes. One that reads waveforms hears the
        sound in any case.
    input_rate, input_length, pad
        As in :class:`WaveformDomain`.

    Raises ValueError with the valid names.
    """
    if name not in DOMAINS:
        raise ValueError(f"Unknown domain {name!r}: expected one of {', '.join(DOMAINS)}.")
    if hearing not in HEARING:
        raise ValueError(f"Unknown hearing {hearing!r}: expected one of {', '.join(HEARING)}.")
    if reads != "waveform" and hearing == "direct":
        return DOMAINS[name](front_end, reads)
    if name != "stft":
        raise ValueError(
            f"The {name!r} domain has no phase, so no waveform can be made of it for this "
            "classifier: use domain: stft."
        )
    return WaveformDomain(front_end, reads, input_rate, input_length, pad)
