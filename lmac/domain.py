"""Explanation domains: what the mask multiplies, and how the classifier hears the result.

The same frozen classifier can be explained in two domains (paper, section 3):

- ``stft`` (listenable): ``X = log1p(|S|)``, shape (B, T, n_fft // 2 + 1);
- ``mel`` (not listenable): ``X = log1p(mel(|S|))``, shape (B, T, n_mels).

A mask always has the shape of ``X``.
"""

import torch
from speechbrain.processing.features import STFT, Filterbank, spectral_magnitude
from torch import nn


class FrontEnd(nn.Module):
    """STFT and mel filterbank of the published recipe.

    Arguments
    ---------
    sample_rate : int
        Hz.
    n_fft : int
        FFT size in samples.
    win_length, hop_length : float
        Milliseconds, as in SpeechBrain. The published 23.2199 and 11.6099 ms are 372 and
        186 samples at 16 kHz.
    n_mels : int
        Number of triangular mel filters.
    """

    def __init__(
        self, sample_rate=16000, n_fft=1024, win_length=23.2199, hop_length=11.6099, n_mels=80
    ):
        super().__init__()
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.n_mels = n_mels
        self.n_bins = n_fft // 2 + 1
        self.stft = STFT(
            sample_rate=sample_rate, win_length=win_length, hop_length=hop_length, n_fft=n_fft
        )
        filterbank = Filterbank(n_mels=n_mels, n_fft=n_fft, sample_rate=sample_rate, log_mel=False)
        # SpeechBrain rebuilds its filters at every call; they are constant, so keep them.
        # Row i of the answer to the identity is what STFT bin i adds to every mel band.
        with torch.no_grad():
            mel_matrix = filterbank(torch.eye(self.n_bins)[None])[0]
        self.register_buffer("mel_matrix", mel_matrix, persistent=False)  # [n_bins, n_mels]
        self.register_buffer("band_matrix", _bands_to_bins(mel_matrix), persistent=False)
        self.register_buffer("window", self.stft.window.clone(), persistent=False)

    @property
    def hop_samples(self):
        """Hop in samples."""
        return self.stft.hop_length

    def forward(self, wav):
        """Waveform [B, L] to complex STFT [B, T, n_bins]."""
        if wav.dim() != 2:
            raise ValueError(f"wav must have shape [batch, samples], got {tuple(wav.shape)}.")
        spectrum = torch.stft(
            wav,
            self.n_fft,
            hop_length=self.stft.hop_length,
            win_length=self.stft.win_length,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        return spectrum.transpose(1, 2)

    def inverse(self, spectrum, length):
        """Complex STFT [B, T, n_bins] to waveform [B, length]; differentiable."""
        return torch.istft(
            spectrum.transpose(1, 2),
            self.n_fft,
            hop_length=self.stft.hop_length,
            win_length=self.stft.win_length,
            window=self.window,
            center=True,
            length=length,
        )

    def magnitude(self, wav):
        """Waveform [B, L] to magnitude STFT [B, T, n_bins]."""
        spectrum = torch.view_as_real(self(wav))
        return spectral_magnitude(spectrum, power=0.5)

    def mel(self, magnitude):
        """Magnitude [..., n_bins] to mel bands [..., n_mels]."""
        return magnitude @ self.mel_matrix


def _bands_to_bins(mel_matrix):
    """Weights [n_mels, n_bins] that spread a value per mel band over STFT bins.

    Each bin takes the mean of the bands that hear it, weighted by the filterbank; a bin that
    no filter hears (0 Hz, Nyquist) takes its nearest band, so that constant stays constant.
    """
    weights = mel_matrix.t().clone()
    total = weights.sum(0)
    heard = total > 0
    centres = weights.argmax(1)
    for i in torch.nonzero(~heard).flatten().tolist():
        weights[(centres - i).abs().argmin(), i] = 1.0
    return weights / weights.sum(0)


class Domain(nn.Module):
    """What is masked. ``reads`` is what the classifier takes: ``"mel"`` or ``"stft"``."""

    name = None
    listenable = False
    axis_label = None

    def __init__(self, front_end, reads="mel"):
        super().__init__()
        if reads not in ("mel", "stft"):
            raise ValueError(f"A classifier reads 'mel' or 'stft' features, got {reads!r}.")
        self.front_end = front_end
        self.reads = reads

    def analyse(self, wav):
        """Waveform [B, L] to ``X`` [B, T, F] and its complex STFT [B, T, n_bins]."""
        raise NotImplementedError

    def to_features(self, X):
        """``X`` [B, T, F] to what the classifier reads; differentiable."""
        raise NotImplementedError

    def spread(self, bands):
        """Maps [..., T, n_features] at the classifier's resolution to the one of ``X``."""
        return bands

    def gather(self, X):
        """Mean of ``X`` [..., T, F] in each of the classifier's bands, the reverse of spread."""
        return X

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
        return torch.log1p(self.front_end.mel(torch.expm1(X)))

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
        return torch.log1p(self.front_end.mel(spectrum.abs())), spectrum

    def to_features(self, X):
        return X

    @property
    def top_of_axis(self):
        return self.front_end.n_mels


DOMAINS = {"stft": StftDomain, "mel": MelDomain}


def get_domain(name, front_end, reads="mel"):
    """The domain called ``name``; raises ValueError with the valid names."""
    if name not in DOMAINS:
        raise ValueError(f"Unknown domain {name!r}: expected one of {', '.join(DOMAINS)}.")
    return DOMAINS[name](front_end, reads)
