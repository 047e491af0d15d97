"""Augmentation of waveform batches, vectorised over the batch."""

from pathlib import Path

import torch


def mix_at_snr(wav, noise, snr_db):
    """``wav + g * noise`` with ``g`` such that the signal-to-noise ratio is ``snr_db``.

    Arguments
    ---------
    wav, noise : Tensor [B, L]
    snr_db : Tensor [B]

    Silent noise leaves the signal alone.
    """
    ratio = wav.norm(dim=1) / noise.norm(dim=1).clamp_min(1e-8)
    return wav + (ratio * 10 ** (-snr_db / 20)).unsqueeze(1) * noise


def random_shift(wav):
    """Rotate every clip [B, L] by its own random number of samples."""
    n = wav.shape[1]
    shift = torch.randint(n, (len(wav), 1), device=wav.device)
    index = (torch.arange(n, device=wav.device) - shift) % n
    return wav.gather(1, index)


def uniform(n, low, high, device):
    """``n`` draws from [low, high)."""
    return low + (high - low) * torch.rand(n, device=device)


class ClipMixer:
    """Mix in other sounds at a random signal-to-noise ratio.

    Arguments
    ---------
    probability : float
        Share of the clips that get something mixed in.
    snr_db : list of two floats
        Range of the ratio in dB; 0 and 0 is the published WHAM! setting.
    noise_folder : path, optional
        Folder of noise recordings, WHAM!'s ``tr`` for example. Without one, the other clips of
        the batch are the noise.
    load : callable, optional
        Path to float32 samples; needed with ``noise_folder``.
    """

    def __init__(self, probability=0.5, snr_db=(0, 15), noise_folder=None, load=None):
        self.probability = probability
        self.snr_db = snr_db
        self.noises = None
        if noise_folder:
            files = sorted(p for p in Path(noise_folder).rglob("*") if p.is_file())
            if not files:
                raise ValueError(f"noise_folder: no audio files in {noise_folder}.")
            self.noises = [torch.from_numpy(load(f).copy()) for f in files]

    def __call__(self, wav):
        """[B, L] to [B, L]."""
        noise = self._noise(wav)
        mixed = mix_at_snr(wav, noise, uniform(len(wav), *self.snr_db, wav.device))
        chosen = torch.rand(len(wav), 1, device=wav.device) < self.probability
        return torch.where(chosen, mixed, wav)

    def _noise(self, wav):
        if self.noises is None:
            # Rotating by 1..B-1 never mixes a clip with itself, except in a batch of one.
            step = int(torch.randint(1, max(2, len(wav)), ()))
            return random_shift(wav.roll(step, 0))
        pieces = []
        for _ in wav:
            noise = self.noises[int(torch.randint(len(self.noises), ()))]
            start = int(torch.randint(len(noise), ()))
            index = (start + torch.arange(wav.shape[1])) % len(noise)  # loops when short
            pieces.append(noise[index])
        return torch.stack(pieces).to(wav)


class WaveformAugment:
    """Time shift, gain and mixing, in this order.

    Arguments
    ---------
    shift : bool
        Rotate clips in time.
    gain_db : list of two floats
        Range of a random gain after peak normalisation.
    mixer : ClipMixer, optional
    """

    def __init__(self, shift=True, gain_db=(-12, 0), mixer=None):
        self.shift = shift
        self.gain_db = gain_db
        self.mixer = mixer

    def __call__(self, wav):
        """Clips [B, L] to augmented clips and the clips' own part in them, both [B, L].

        The second is the shifted clip before anything was mixed in, at its level in the first.
        """
        clean = random_shift(wav) if self.shift else wav
        mixed = clean if self.mixer is None else self.mixer(clean)
        gain = 10 ** (uniform(len(wav), *self.gain_db, wav.device).unsqueeze(1) / 20)
        # First the peak, then the gain: the order is visible in the last bit.
        peak = mixed.abs().amax(1, keepdim=True).clamp_min(1e-8)
        return mixed / peak * gain, clean / peak * gain
