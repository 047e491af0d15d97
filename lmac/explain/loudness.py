"""Loudness of sounds that are compared by ear."""

import numpy as np

from lmac.explain.audio import read_wav

# Of a listening test: EBU R 128, for programme loudness and true peak.
TARGET_LUFS = -23.0
PEAK_DB = -1.0
BLOCK_S = 0.4  # of the gate of ITU-R BS.1770

# Loudness is matched by lowering only, and by no more than this below the input, so that a
# removed part that is next to silence does not silence everything else.
MOST_DB = 20.0


def loudness(path):
    """Seconds and root mean square (full scale is 1) of an audio file; see ``read_wav``."""
    wave, rate = read_wav(path)
    return len(wave) / rate, float(np.sqrt(np.mean(wave**2))) if len(wave) else 0.0


def matching_gains(rms, reference):
    """Factors in (0, 1] that bring the sounds of a clip to one loudness, by lowering only.

    Arguments
    ---------
    rms : dict
        Name to root mean square.
    reference : float
        Root mean square of the input: the common level is that of the quietest sound, yet not
        more than ``MOST_DB`` below the input; sounds quieter still are left as they are.
    """
    floor = reference * 10 ** (-MOST_DB / 20)
    level = max(min(rms.values(), default=0.0), floor)
    return {name: min(1.0, level / value) if value > 0 else 1.0 for name, value in rms.items()}


def integrated_loudness(wave, rate):
    """Integrated loudness of a sound [L] in LUFS (ITU-R BS.1770-4), -inf for silence.

    Full scale is 1. A sound shorter than a block of the gate (0.4 s) is one block. The absolute
    gate (-70 LUFS) is 70 dB below what a full-scale sound has, and moves with the sound: what is
    quiet here is made louder.
    """
    # Here, as below, for pages that measure no more than levels should not wait for scipy.
    import pyloudnorm

    peak = np.abs(wave).max(initial=0.0)
    if peak == 0:
        return -np.inf
    meter = pyloudnorm.Meter(rate, block_size=min(BLOCK_S, len(wave) / rate))
    return float(meter.integrated_loudness(wave / peak) + 20 * np.log10(peak))


def true_peak(wave):
    """Largest magnitude of a sound [L] between its samples, too, in dB: four times oversampled."""
    from scipy.signal import resample_poly

    return float(20 * np.log10(np.abs(resample_poly(wave, 4, 1)).max()))


def to_one_loudness(sounds, only=None):
    """Gains that bring sounds to ``TARGET_LUFS``.

    All are at a lower level, the same, where the true peak of one of them would be above
    ``PEAK_DB``: nothing is clipped or compressed.

    Arguments
    ---------
    sounds : dict
        Name to (wave [L], rate in Hz), not all silent.
    only : str, optional
        Bring only this one there, and give the others its gain.

    Returns
    -------
    (level, gains)
        LUFS, and a factor for each name; that of silence is 1.
    """
    measured = {
        name: (integrated_loudness(wave, rate), true_peak(wave))
        for name, (wave, rate) in sounds.items()
        if np.any(wave)
    }
    if only is None:
        level = min(TARGET_LUFS, *(PEAK_DB - peak + lufs for lufs, peak in measured.values()))
        raised = {name: level - lufs for name, (lufs, _) in measured.items()}
    else:
        lufs = measured[only][0]
        gain = min(TARGET_LUFS - lufs, *(PEAK_DB - peak for _, peak in measured.values()))
        level, raised = lufs + gain, dict.fromkeys(measured, gain)
    return level, {name: 10 ** (raised.get(name, 0.0) / 20) for name in sounds}


def faded(wave, rate, seconds=0.01):
    """``wave`` [L] with raised-cosine ramps at both ends, so that it starts and loops silently."""
    n = min(round(seconds * rate), len(wave) // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n) if n else np.ones(0)
    made = wave.copy()
    made[:n] *= ramp
    made[len(wave) - n :] *= ramp[::-1]
    return made
