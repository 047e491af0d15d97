"""Augmentation of waveform batches, vectorised over the batch."""

import logging

import torch
import torch.nn.functional as F
from speechbrain.augment.time_domain import SpeedPerturb

logger = logging.getLogger(__name__)


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
        Share of the clips that get another clip of the batch mixed in.
    snr_db : list of two floats
        Range of the ratio in dB.
    noise : callable, optional
        (number of pieces, samples) to noise [B, L] on the CPU, such as
        ``data_prep.recordings.NoiseFolder``; mixed in instead of other clips.
    noise_probability, noise_snr_db
        As above, for ``noise``; by default the published setting, 0 dB in every clip.
    """

    def __init__(
        self,
        probability=0.5,
        snr_db=(0, 15),
        noise=None,
        noise_probability=1.0,
        noise_snr_db=(0, 0),
    ):
        self.noise = noise
        self.probability = probability if noise is None else noise_probability
        self.snr_db = snr_db if noise is None else noise_snr_db
        self.announced = noise is None

    def __call__(self, wav):
        """[B, L] to [B, L]."""
        if not self.announced:
            self.announced = True  # here, for SpeechBrain sets logging up after it builds this
            logger.info(
                "noise_folder: %g to %g dB in %g %% of the clips, in place of clips of the batch.",
                *self.snr_db,
                100 * self.probability,
            )
        noise = self._others(wav) if self.noise is None else self.noise(*wav.shape).to(wav)
        mixed = mix_at_snr(wav, noise, uniform(len(wav), *self.snr_db, wav.device))
        chosen = torch.rand(len(wav), 1, device=wav.device) < self.probability
        return torch.where(chosen, mixed, wav)

    @staticmethod
    def _others(wav):
        # Rotating by 1..B-1 never mixes a clip with itself, except in a batch of one.
        step = int(torch.randint(1, max(2, len(wav)), ()))
        return random_shift(wav.roll(step, 0))


class WaveformAugment:
    """Speed, time shift, mixing and gain, in this order.

    Arguments
    ---------
    shift : bool
        Rotate clips in time.
    gain_db : list of two floats
        Range of a random gain after peak normalisation.
    mixer : ClipMixer, optional
    speed_perturbation : list of int
        Percent; each batch is played at one of them, by SpeechBrain's SpeedPerturb. A clip keeps
        its length: a slow one loses its end, a fast one is padded with silence.
    """

    def __init__(self, shift=True, gain_db=(-12, 0), mixer=None, speed_perturbation=(100,)):
        self.shift = shift
        self.gain_db = gain_db
        self.mixer = mixer
        # Whole percentages do not need the sample rate.
        self.perturb = (
            None
            if set(speed_perturbation) == {100}
            else SpeedPerturb(None, list(speed_perturbation))
        )

    def __call__(self, wav):
        """Clips [B, L] to augmented clips and the clips' own part in them, both [B, L].

        The second is the shifted clip before anything was mixed in, at its level in the first.
        """
        if self.perturb is not None:
            n = wav.shape[1]
            wav = self.perturb(wav)[:, :n]
            wav = F.pad(wav, (0, n - wav.shape[1]))
        clean = random_shift(wav) if self.shift else wav
        mixed = clean if self.mixer is None else self.mixer(clean)
        gain = 10 ** (uniform(len(wav), *self.gain_db, wav.device).unsqueeze(1) / 20)
        # First the peak, then the gain: the order is visible in the last bit.
        peak = mixed.abs().amax(1, keepdim=True).clamp_min(1e-8)
        return mixed / peak * gain, clean / peak * gain
