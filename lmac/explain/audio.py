"""Audio of an explanation: WAV files at one common gain."""

import io
from pathlib import Path

import numpy as np
import soundfile

from lmac.io.files import whole

HEADROOM = 0.95
INPUT = 0.7  # peak of the input: what methods keep or remove of it is seldom 3 dB above


def read_wav(path):
    """(wave [L] in float64, rate in Hz) of an audio file; ValueError for one that is not audio."""
    try:
        return soundfile.read(path, dtype="float64")
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as audio ({error}): evaluate into a new folder."
        ) from error


def write_wavs(waves, folder, sample_rate):
    """Write ``{name: Tensor [L]}`` as ``folder/<name>.wav`` (24 bit), all at the same gain.

    Levels stay comparable by ear. Returns the gain, of :func:`common_gain`.
    """
    gain = common_gain(waves)
    for name, wav in waves.items():
        _write(Path(folder) / f"{name}.wav", (gain * wav).cpu().numpy(), sample_rate)
    return gain


def common_gain(waves):
    """The gain of sounds of one recording, {name: Tensor [L]} with the input first.

    It only ever lowers the level: the input's peak to INPUT, so that it is the same beside every
    method, or further, so that nothing clips.
    """
    first = next(iter(waves.values()))
    limits = ((INPUT, _peak([first])), (HEADROOM, _peak(waves.values())))
    return min([1.0, *(limit / peak for limit, peak in limits if peak > 0)])


def add_wavs(shared, own, folder, sample_rate):
    """Write sounds of a clip beside those that other methods have there, all at one gain.

    Arguments
    ---------
    shared : dict
        Name to Tensor [L] of what all methods share, written once. The first tells the gain of
        files that do not say it themselves.
    own : dict
        Name, such as "IG/removed", to Tensor [L]; written in any case.
    folder : path
        Of the clip. Where a new sound would clip at its gain, all that is there is lowered.
    sample_rate : int
    """
    folder = Path(folder)
    name, reference = next(iter(shared.items()))
    there = folder / f"{name}.wav"
    estimate = HEADROOM
    if there.is_file() and reference.any():
        estimate = float(np.abs(read_wav(there)[0]).max() / reference.abs().max())
    # Each file says its own, so that a kill in between lowers none of them twice.
    gains = {path: _gain_of(path) or estimate for path in sorted(folder.rglob("*.wav"))}
    gain = min(gains.values(), default=HEADROOM)
    peak = _peak([*shared.values(), *own.values()])
    if gain * peak > 0.99:
        gain = HEADROOM / peak
    for path, before in gains.items():
        if before != gain:
            _write(path, gain / before * read_wav(path)[0], sample_rate, gain)
    missing = {k: wav for k, wav in shared.items() if not (folder / f"{k}.wav").is_file()}
    for key, wav in {**missing, **own}.items():
        _write(folder / f"{key}.wav", (gain * wav).cpu().numpy(), sample_rate, gain)


def _peak(waves):
    return max((float(wav.abs().max()) for wav in waves), default=0.0)


def _gain_of(path):
    """What a file says of its own gain; None where it says nothing."""
    with soundfile.SoundFile(path) as file:
        kind, _, value = file.comment.partition(" ")
    return float(value) if kind == "gain" else None


def _write(path, samples, sample_rate, gain=None):
    """24 bits: what is quiet may be raised later without hearing its rounding."""
    content = io.BytesIO()
    kind = {"format": "WAV", "subtype": "PCM_24"}
    with soundfile.SoundFile(content, "w", sample_rate, 1, **kind) as file:
        if gain is not None:
            file.comment = f"gain {gain!r}"
        file.write(samples)
    with whole(path, sync=False) as file:
        file.write(content.getvalue())
