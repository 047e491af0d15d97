"""Front end: STFT, its inverse, and the mel bands of a classifier."""

import torch
from speechbrain.processing.features import STFT, Filterbank, spectral_magnitude
from torch import nn

from lmac.core import fast


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
    window : Tensor, optional
        Another window than Hamming, as long as ``win_length``.
    mel_matrix : Tensor, optional
        Other filters than SpeechBrain's, [n_fft // 2 + 1, n_mels], up to half the sample rate.

    ``mel_top`` is where the mel bands end, in Hz: half the sample rate.
    """

    def __init__(
        self, sample_rate=16000, n_fft=1024, win_length=23.2199, hop_length=11.6099, n_mels=80,
        window=None, mel_matrix=None,
    ):  # fmt: skip
        super().__init__()
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.n_mels = n_mels
        self.n_bins = n_fft // 2 + 1
        self.mel_top = sample_rate / 2
        self.stft = STFT(
            sample_rate=sample_rate, win_length=win_length, hop_length=hop_length, n_fft=n_fft
        )
        if mel_matrix is None:
            # SpeechBrain rebuilds its filters at every call; they are constant, so keep them.
            # Row i of the answer to the identity is what STFT bin i adds to every mel band.
            fbank = Filterbank(
                n_mels=n_mels, n_fft=n_fft, sample_rate=sample_rate, f_max=self.mel_top,
                log_mel=False,
            )  # fmt: skip
            with torch.no_grad():
                mel_matrix = fbank(torch.eye(self.n_bins)[None])[0]
        self.register_buffer("mel_matrix", mel_matrix, persistent=False)  # [n_bins, n_mels]
        self.register_buffer("band_matrix", _bands_to_bins(mel_matrix), persistent=False)
        self.mel_blocks = fast.blocks_of(self.mel_matrix)
        self.band_blocks = fast.blocks_of(self.band_matrix)
        window = self.stft.window.clone() if window is None else window
        self.register_buffer("window", window, persistent=False)

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
        return fast.multiply(magnitude, self.mel_matrix, self.mel_blocks)

    def spread(self, bands):
        """A value per band [..., n_mels] over STFT bins, [..., n_bins]; constant stays constant."""
        return fast.multiply(bands, self.band_matrix, self.band_blocks)

    def log_mel(self, magnitude):
        """Magnitude [..., n_bins] to the features [..., n_mels] of a classifier on mel bands."""
        return torch.log1p(self.mel(magnitude))


def _bands_to_bins(mel_matrix):
    """Weights [n_mels, n_bins] that spread a value per mel band over STFT bins.

    Each bin takes the mean of the bands that it is part of, weighted by the filterbank; a bin that
    no filter reaches (0 Hz, Nyquist) takes its nearest band, so that constant stays constant.
    """
    weights = mel_matrix.t().clone()
    total = weights.sum(0)
    reached = total > 0
    centres = weights.argmax(1)
    for i in torch.nonzero(~reached).flatten().tolist():
        weights[(centres - i).abs().argmin(), i] = 1.0
    return weights / weights.sum(0)
