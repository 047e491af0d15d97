"""Scenario ``id``: noise that everything that was trained was trained in.

What trainings recorded comes as ``trained``: the name of a setting ("classifier_checkpoint",
"lmac_checkpoint", ...) to the ``info.json`` beside those weights, {} where there is none.
"""

from pathlib import Path

from data_prep.manifest import DataError


def not_recorded(trained):
    """Settings of ``trained`` of which it is not known what noise they were trained in.

    Such as the authors' published weights, and weights that earlier versions trained.
    """
    return [key for key, info in trained.items() if "augmentation" not in info]


def training_noise(trained):
    """Sentences for a caption: who was trained in what noise, who in none, who did not say."""
    said = {}
    for key, info in trained.items():
        if "augmentation" in info:
            said.setdefault(_training(info["augmentation"]), []).append(key)
    sentences = [f"Trained {words}: {', '.join(keys)}." for words, keys in said.items()]
    unknown = not_recorded(trained)
    if unknown:
        sentences.append(f"The training noise of {', '.join(unknown)} is not recorded.")
    return sentences


def refuse_other_noise(folder, trained, what="contaminant_folder"):
    """DataError unless everything was trained in the noise of ``folder``, as published.

    Arguments
    ---------
    folder : path
        Of the noise evaluated in, such as WHAM!'s ``tt``; trained in was another folder beside
        it, such as ``tr``.
    trained : dict
        See above. What is ``not_recorded`` passes; a caption must say so.
    what : str
        The key that named ``folder``.

    Refused are trainings without noise, at another level than the published 0 dB, or in noise
    of another collection, which is a folder of another parent's name.
    """
    # As it is named and, for links, as it really is.
    parents = [Path(folder).absolute().parent.name, Path(folder).resolve().parent.name]
    for key, info in trained.items():
        if "augmentation" not in info:
            continue
        noise = info["augmentation"]
        in_noise = noise.get("noise_folder") and noise.get("noise_probability", 1) > 0
        if not in_noise or [float(x) for x in noise["noise_snr_db"]] != [0.0, 0.0]:
            _refuse(key, noise, "noise at 0 dB")
        if Path(noise["noise_folder"]).parent.name not in parents:
            _refuse(key, noise, f"the noise of {what} {'/'.join(Path(folder).parts[-2:])}")


def levels(snr_db):
    """A range of signal-to-noise ratios, (low, high) in dB, such as "0 to 20 dB"."""
    low, high = snr_db
    return f"{low:g} dB" if low == high else f"{low:g} to {high:g} dB"


def _refuse(key, augmentation, wanted):
    raise DataError(
        f"Scenario id is noise that everything was trained in, but {key} was trained "
        f"{_training(augmentation)}, not in {wanted}: give --{key} of a training in it, or "
        "--scenario=noise, the same clips for what was not trained in noise."
    )


def _training(augmentation):
    """Such as "in wham_noise/tr at 0 dB"."""
    folder = augmentation.get("noise_folder")
    probability = augmentation.get("noise_probability", 1)
    if not folder or not probability:
        return "without noise"
    share = "" if probability == 1 else f" in {100 * probability:g} % of the clips"
    return f"in {folder} at {levels(augmentation['noise_snr_db'])}{share}"
