"""Loudness of sounds that are compared by ear."""

import numpy as np
import soundfile

# Loudness is matched by lowering only, and by no more than this below the input, so that a
# removed part that is next to silence does not silence everything else.
MOST_DB = 20.0


def loudness(path):
    """Seconds and root mean square (full scale is 1) of an audio file.

    Raises ValueError for a file that is not audio.
    """
    try:
        wave, rate = soundfile.read(path, dtype="float64")
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as audio ({error}): evaluate into a new folder."
        ) from error
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
