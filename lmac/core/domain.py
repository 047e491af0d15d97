"""Explanation domains: what the mask multiplies, and what the classifier reads of the result.

The same frozen classifier can be explained in two domains (paper, section 3):

- ``stft`` (listenable): ``X = log1p(|S|)``, shape (B, T, n_fft // 2 + 1);
- ``mel`` (not listenable): ``X = log1p(mel(|S|))``, shape (B, T, n_mels).

A mask always has the shape of ``X``. On the waveform path (classifiers on waveforms, or
``signal_path: waveform``) the classifier reads the masked STFT with the phase of its recording,
resynthesised: :class:`WaveformDomain`.
"""

import math

import torch
import torch.nn.functional as F
import torchaudio
from torch import nn

from data_prep.audio import resamples_simply
from lmac.core import fast
from lmac.core.front_end import FrontEnd
from lmac.core.phase import Phase

__all__ = [
    "FrontEnd",
    "Phase",
    "Domain",
    "StftDomain",
    "MelDomain",
    "WaveformDomain",
    "get_domain",
]
# The frequency axis of a classifier's maps where it says nothing else, by what it reads.
AXES = {"mel": "mel", "stft": "linear"}


class Domain(nn.Module):
    """What is masked.

    Arguments
    ---------
    front_end : FrontEnd
    reads : str
        What the classifier takes: ``"mel"`` or ``"stft"``.
    frequency_axis : str, optional
        Of the classifier's representations, ``"mel"`` or ``"linear"``; that of what it reads when
        not given.

    ``needs_phase`` is true where ``to_features`` cannot do without the phase.
    """

    name = None
    listenable = False
    needs_phase = False
    axis_label = None
    # Samples of the longest recording that the classifier takes; None for any length.
    longest_input = None

    def __init__(self, front_end, reads="mel", frequency_axis=None):
        super().__init__()
        if reads not in AXES:
            raise ValueError(
                f"A classifier reads 'mel' or 'stft' features, or a 'waveform', got {reads!r}."
            )
        if (reads, _checked(frequency_axis)) == ("mel", "linear"):
            raise ValueError(
                "frequency_axis is linear, but this classifier reads mel bands: leave it out."
            )
        self.front_end = front_end
        self.reads = reads
        self.frequency_axis = frequency_axis or AXES[reads]

    def analyse(self, wav):
        """Waveform [B, L] to ``X`` [B, T, F] and its :class:`Phase`."""
        raise NotImplementedError

    def to_features(self, X, phase=None):
        """``X`` [B, T, F] to what the classifier reads; differentiable.

        Where ``needs_phase``, ``phase`` is that of the same clips, else it is ignored.
        """
        raise NotImplementedError

    def features(self, wav):
        """Waveform [B, L] to what the classifier reads, without a mask: for its training."""
        return self.to_features(*self.analyse(wav))

    def picture(self, X):
        """``X`` [B, T, F] to a map [B, T, n_features], which decoders look at."""
        return self.to_features(X)

    def spread(self, bands):
        """Maps [..., T, n_features] at the classifier's resolution to the one of ``X``."""
        return bands

    def gather(self, X):
        """Mean of ``X`` [..., T, F] in each of the classifier's bands, the reverse of spread."""
        return X

    def upsample(self, maps, n_frames):
        """Maps of a representation on the grid of ``X``, bilinearly.

        Arguments
        ---------
        maps : Tensor [B, T', F']
            Whose frequencies are those of ``frequency_axis``.
        n_frames : int

        Returns
        -------
        Tensor [B, n_frames, F]
        """
        n = self.front_end.n_bins if self.frequency_axis == "linear" else self.front_end.n_mels
        reached = max(1, round(n * self.reach))
        size = (n_frames, reached)
        grid = F.interpolate(maps.unsqueeze(1), size=size, mode="bilinear", align_corners=False)
        # A network of another sample rate: cut at our highest frequency, or 0 above its own.
        return F.pad(grid.squeeze(1), (0, n - reached)) if reached != n else grid.squeeze(1)

    @property
    def reach(self):
        """Length of the representations' frequency axis over that of ``X``."""
        return 1.0

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

    def synthesise(self, X, phase):
        """``X`` [B, T, F] with its phase to a waveform [B, n_samples]."""
        raise NotImplementedError(
            f"The {self.name!r} domain has no phase and cannot be listened to; "
            "use domain: stft for audio."
        )


class StftDomain(Domain):
    """``X = log1p(|S|)``; masked input of the classifier ``log1p(mel(expm1(M * X)))``."""

    name = "stft"
    listenable = True
    axis_label = "frequency (Hz)"

    def __init__(self, front_end, reads="mel", frequency_axis=None):
        super().__init__(front_end, reads, frequency_axis)
        band_to_bin = front_end.band_matrix
        self.register_buffer(
            "bin_to_band", (band_to_bin / band_to_bin.sum(1, keepdim=True)).t(), persistent=False
        )

    def analyse(self, wav):
        spectrum = self.front_end(wav)
        return fast.magnitude_of(spectrum).log1p_(), Phase(spectrum, wav.shape[1])

    def to_features(self, X, phase=None):
        if self.reads == "stft":
            return X
        # The decoder looks at the features that the classifier has just read of the same X.
        kind, matrix = X.device.type, self.front_end.mel_matrix
        autocast = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind)
        return fast.once_for(X, [matrix, autocast], self._log_mel)

    def _log_mel(self, X):
        return self.front_end.log_mel(torch.expm1(X))

    def spread(self, bands):
        return self.front_end.spread(bands) if self.reads == "mel" else bands

    def gather(self, X):
        if self.reads != "mel":
            return X
        return fast.multiply(X, self.bin_to_band, self.front_end.band_blocks.turned)

    def upsample(self, maps, n_frames):
        grid = super().upsample(maps, n_frames)
        return grid if self.frequency_axis == "linear" else self.front_end.spread(grid)

    def synthesise(self, X, phase):
        phase.check(X)
        # sgn is exp(i angle), without the angle, and 0 where there is nothing to turn.
        return self.front_end.inverse(torch.expm1(X) * phase.spectrum.sgn(), phase.n_samples)


class MelDomain(Domain):
    """``X = log1p(mel(|S|))``, the classifier's own input; cannot be turned into sound."""

    name = "mel"
    axis_label = "mel band"

    def __init__(self, front_end, reads="mel", frequency_axis=None):
        super().__init__(front_end, reads, frequency_axis)
        if reads != "mel":
            raise ValueError(
                "This classifier reads log1p(|STFT|), so it has no mel domain: use domain: stft."
            )

    def analyse(self, wav):
        spectrum = self.front_end(wav)
        return self.front_end.log_mel(fast.magnitude_of(spectrum)), Phase(spectrum, wav.shape[1])

    def to_features(self, X, phase=None):
        return X

    @property
    def top_of_axis(self):
        return self.front_end.n_mels


class WaveformDomain(StftDomain):
    """``X = log1p(|S|)``; the classifier reads ``iSTFT(expm1(M * X) exp(i angle(S)))``.

    A mask of zeros and ones apart, a masked STFT is the STFT of no signal; here the classifier is
    scored on the very sound of the explanation.

    Arguments
    ---------
    front_end : FrontEnd
    reads : str
        ``"waveform"``; a classifier that reads ``"mel"`` or ``"stft"`` is given the analysis of
        the sound.
    input_rate : int, optional
        Hz, of a classifier that reads waveforms; that of the front end when not given.
    input_length : int, optional
        Samples at that rate, of a classifier that takes one length only. Shorter sound is
        zero-padded at its end, longer sound refused (ValueError).
    pad : bool
        False for a classifier that pads by itself.
    frequency_axis : str, optional
        As in :class:`Domain`. ``"mel"`` and ``"linear"`` axes reach from 0 Hz to half the
        classifier's own rate; what is in the maps of one that reads waveforms cannot be known, so
        without this argument ``frequency_axis`` is None.
    """

    needs_phase = True

    def __init__(
        self, front_end, reads="waveform", input_rate=None, input_length=None, pad=True,
        frequency_axis=None,
    ):  # fmt: skip
        if reads == "waveform":
            # The picture that decoders look at has mel bands, whatever the classifier computes.
            super().__init__(front_end, "mel")
            self.direct = None
            self.frequency_axis = _checked(frequency_axis)
        else:
            super().__init__(front_end, reads, frequency_axis)
            self.direct = StftDomain(front_end, reads)
        self.input_rate = input_rate or front_end.sample_rate
        if not resamples_simply(self.input_rate, front_end.sample_rate):
            raise ValueError(
                f"The classifier reads {self.input_rate} Hz and sample_rate is "
                f"{front_end.sample_rate}: without a simple ratio of the two every step would take "
                f"gigabytes. Set --sample_rate={self.input_rate}."
            )
        self.input_length = input_length
        self.pad = pad
        if input_length is not None:
            self.longest_input = int(input_length * front_end.sample_rate / self.input_rate)

    @property
    def description(self):
        return "stft, waveform path"

    @property
    def reach(self):
        if self.direct is not None or self.frequency_axis is None:
            return 1.0
        if self.frequency_axis == "mel":
            return _mel(self.input_rate / 2) / _mel(self.front_end.mel_top)
        return self.input_rate / self.front_end.sample_rate

    def to_features(self, X, phase=None):
        if phase is None:
            raise ValueError(
                "On the waveform path X needs the phase of its recording: X, phase = "
                "domain.analyse(wav), then explained(X, phase)."
            )
        return self.features(self.synthesise(X, phase))

    def features(self, wav):
        if self.direct is not None:
            return self.direct.features(wav)
        if self.input_rate != self.front_end.sample_rate:
            with torch.autocast(wav.device.type, enabled=False):  # 8 bits would be audible
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

    def picture(self, X):
        return super().to_features(X)


def _checked(frequency_axis):
    """It, or ValueError with the valid ones."""
    if frequency_axis not in (None, *AXES.values()):
        raise ValueError(
            f"frequency_axis: expected mel or linear, got {frequency_axis!r}; leave it out for "
            "maps without a frequency axis."
        )
    return frequency_axis


def _mel(hertz):
    """Frequency in mel (the usual formula, SpeechBrain's and HTK's)."""
    return 2595 * math.log10(1 + hertz / 700)


DOMAINS = {"stft": StftDomain, "mel": MelDomain}
SIGNAL_PATHS = ("direct", "waveform")


def get_domain(
    name, front_end, reads="mel", signal_path="direct", input_rate=None, input_length=None,
    pad=True, frequency_axis=None,
):  # fmt: skip
    """The domain called ``name``, for a classifier that reads ``reads``.

    Arguments
    ---------
    name : str
        ``"stft"`` or ``"mel"``.
    front_end : FrontEnd
    reads : str
        ``"mel"``, ``"stft"`` or ``"waveform"``.
    signal_path : str
        ``"direct"`` gives a classifier that reads spectrograms the masked one itself,
        ``"waveform"`` the analysis of the sound it makes. One that reads waveforms is given the
        sound in any case.
    input_rate, input_length, pad
        As in :class:`WaveformDomain`.
    frequency_axis : str, optional
        Of the classifier's representations, as in :class:`Domain` and :class:`WaveformDomain`.

    Raises ValueError with the valid names.
    """
    if name not in DOMAINS:
        raise ValueError(f"Unknown domain {name!r}: expected one of {', '.join(DOMAINS)}.")
    if signal_path not in SIGNAL_PATHS:
        raise ValueError(
            f"Unknown signal_path {signal_path!r}: expected one of {', '.join(SIGNAL_PATHS)}."
        )
    if reads != "waveform" and signal_path == "direct":
        return DOMAINS[name](front_end, reads, frequency_axis)
    if name != "stft":
        raise ValueError(
            f"The {name!r} domain has no phase, so no waveform can be made of it for this "
            "classifier: use domain: stft."
        )
    return WaveformDomain(front_end, reads, input_rate, input_length, pad, frequency_axis)
