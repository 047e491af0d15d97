"""What is explained: a file, or samples and their rate, as one channel at the network's rate."""

import os

import numpy as np
import torch

from data_prep.audio import SILENT_PEAK, AudioError, decode, mono_at

# Of soxr: what lies above half the new rate ends up below -90 dB. The samples of data sets are
# resampled by another filter, with which the published numbers were made.
QUALITY = "VHQ"
MOSTLY = 0.5  # of the energy


def waveform(source, sample_rate, name=None):
    """A recording as the network reads it.

    Arguments
    ---------
    source : path or (array, rate)
        Any file that soundfile reads; or samples [n] or [channels, n] (NumPy or torch, whole
        numbers or real ones) and their rate in Hz.
    sample_rate : int
        Hz, of the network.
    name : str, optional
        Of the recording; by default its path, or "waveform".

    Returns
    -------
    samples : Tensor [n]
        float32, mean over the channels.
    name : str
    warning : str or None
        One sentence where most of the energy lies above what the network hears.

    Raises AudioError (a ValueError) for what cannot be used: samples without a rate, silence.
    """
    if isinstance(source, str | os.PathLike):
        samples, rate = decode(source)
        name = os.fspath(source) if name is None else name
    else:
        samples, rate = _samples(source)
        name = "waveform" if name is None else name
    before = samples.mean(1, dtype=np.float64)
    peak = np.abs(samples).max()
    if peak < SILENT_PEAK:
        raise AudioError(
            f"{name} is silent (its largest sample is {peak:.2g}): there is nothing to explain."
        )
    after = mono_at(samples, rate, sample_rate, f"Audio file {name}", QUALITY)
    if np.abs(after).max() <= 1e-6 * peak:
        raise AudioError(
            f"{name} has nothing below {sample_rate / 2:.0f} Hz, and this network hears nothing "
            "above: there is nothing to explain."
        )
    return torch.from_numpy(after), name, _unheard(before, rate, after, sample_rate, name)


def _samples(source):
    """(samples [n, channels] in float32, rate) of what is no path."""
    if not (isinstance(source, tuple) and len(source) == 2):
        raise AudioError(
            f"Expected a path, or samples and their rate as (samples, rate), got "
            f"{type(source).__name__}."
        )
    samples, rate = source
    if isinstance(samples, torch.Tensor):
        samples = samples.detach().cpu().numpy()
    samples = np.atleast_2d(np.asarray(samples))
    if samples.dtype.kind not in "fiu" or samples.ndim != 2 or samples.size == 0:
        raise AudioError(
            f"Expected samples [n] or [channels, n], got {samples.dtype} {samples.shape}."
        )
    if samples.shape[0] > samples.shape[1]:
        raise AudioError(
            f"Samples of shape {samples.shape} would be {samples.shape[0]} channels of "
            f"{samples.shape[1]} samples: expected [channels, n], transpose them."
        )
    if (
        isinstance(rate, bool)
        or not isinstance(rate, int | float | np.number)
        or not 0 < rate < 1e7
        or rate != int(rate)
    ):
        raise AudioError(f"The rate of the samples is {rate!r}: expected whole Hz, such as 44100.")
    if samples.dtype.kind != "f":
        samples = samples / np.float32(np.iinfo(samples.dtype).max)
    samples = samples.astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        raise AudioError("The samples hold values that are NaN or infinite.")
    return np.ascontiguousarray(samples.T), int(rate)


def _unheard(before, rate, after, sample_rate, name):
    """A sentence where resampling took most of the energy away; None otherwise."""
    if rate <= sample_rate:
        return None
    energy = [float(np.square(x, dtype=np.float64).sum()) / r
              for x, r in ((before, rate), (after, sample_rate))]  # fmt: skip
    lost = 1 - energy[1] / energy[0]
    if lost <= MOSTLY:
        return None
    share = f"{100 * lost:.0f} %" if lost < 0.995 else "nearly all"
    return (
        f"{name}: {share} of its energy lies above {sample_rate / 2:.0f} Hz, which this network "
        "does not hear. What is explained is the rest."
    )
