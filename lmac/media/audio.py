"""Audio of an explanation: WAV files at one common gain."""

from pathlib import Path

import soundfile
import torch

HEADROOM = 0.95


def read_wav(path):
    """(wave [L] in float64, rate in Hz) of an audio file; ValueError for one that is not audio."""
    try:
        return soundfile.read(path, dtype="float64")
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as audio ({error}): evaluate into a new folder."
        ) from error


def write_wavs(waves, folder, sample_rate):
    """Write ``{name: Tensor [L]}`` as ``folder/<name>.wav`` (16 bit), all at the same gain.

    The gain only ever lowers the level, so far that no sample of any of them clips; levels
    stay comparable by ear. Returns the gain.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    peak = float(torch.stack(list(waves.values())).abs().amax())
    gain = min(1.0, HEADROOM / peak) if peak > 0 else 1.0
    for name, wav in waves.items():
        soundfile.write(
            folder / f"{name}.wav", (gain * wav).cpu().numpy(), sample_rate, subtype="PCM_16"
        )
    return gain
