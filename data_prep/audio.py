"""Decoded audio: any file soundfile reads, mono, at one rate, decoded once and cached."""

import hashlib
import os
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio


class AudioError(ValueError):
    """An audio file that cannot be used; the message names it."""


def read_audio(path, sample_rate):
    """Decode ``path`` to float32 mono samples at ``sample_rate`` Hz, shape [n].

    Raises AudioError for a missing, unreadable or empty file and for samples that are not
    finite.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(f"Audio file {path} does not exist.")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(
            f"Audio file {path} cannot be decoded ({error}): is it damaged or no audio?"
        ) from error
    if len(samples) == 0:
        raise AudioError(f"Audio file {path} holds no samples.")
    if not np.isfinite(samples).all():
        raise AudioError(f"Audio file {path} holds samples that are NaN or infinite.")
    samples = samples.mean(1)
    if rate != sample_rate:
        wav = torchaudio.functional.resample(torch.from_numpy(samples), rate, sample_rate)
        samples = wav.numpy()
    return samples


class AudioCache:
    """Reads audio through ``.npy`` files, so that each file is decoded and resampled once.

    Arguments
    ---------
    folder : path or None
        Where the decoded samples are kept; None decodes at every call.
    sample_rate : int
        Hz.
    """

    def __init__(self, folder, sample_rate=16000):
        self.folder = Path(folder) if folder else None
        self.sample_rate = sample_rate

    def __call__(self, path):
        """Samples of ``path``: float32 [n], read-only when they come from the cache."""
        if self.folder is None:
            return read_audio(path, self.sample_rate)
        path = Path(path)
        if not path.is_file():
            raise AudioError(f"Audio file {path} does not exist.")
        stat = path.stat()
        # A changed file gets a new key, so a stale entry is never used.
        key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{self.sample_rate}"
        digest = hashlib.sha1(key.encode()).hexdigest()[:12]
        cached = self.folder / f"{path.stem}-{digest}.npy"
        if not cached.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = cached.with_name(f"{cached.stem}.{os.getpid()}.tmp.npy")
            np.save(temporary, read_audio(path, self.sample_rate))
            os.replace(temporary, cached)
        return np.load(cached, mmap_mode="r")


def fit_length(samples, n_samples, start=0):
    """Crop from ``start`` or zero-pad at the end to ``n_samples``; returns a new array [n]."""
    out = np.zeros(n_samples, dtype=np.float32)
    piece = samples[start : start + n_samples]
    out[: len(piece)] = piece
    return out


def peak_normalise(wav, eps=1e-8):
    """Waveform [..., L] with its largest absolute sample at 1; silence stays silence."""
    peak = wav.abs().amax(-1, keepdim=True)
    return wav / peak.clamp_min(eps)
