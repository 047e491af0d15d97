"""Built-in sounds: a small ESC-50-like data set made by arithmetic, so nothing need be downloaded.

    from data_prep.builtin_sounds import generate
    csv = generate("data/builtin_sounds")     # 10 classes x 40 clips of 3 s, about ten seconds

Every clip is an event of one of ``CLASSES`` in a background of its own. The clean event is kept
beside the mixture: background = mixture - clean.
"""

from functools import partial
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
from tqdm import tqdm

from data_prep.builtin_events import BACKGROUNDS, CLASSES
from data_prep.generated import generate_folder
from data_prep.manifest import read_rows, to_int, write_manifest

GENERATOR = "data_prep.builtin_sounds"
VERSION = 1  # raise it whenever a change alters the audio, so that old folders are regenerated


def prepare(data_folder, manifest, **options):
    """Generate the sounds where they are missing, and write their manifest.

    Arguments
    ---------
    data_folder : path
        Made when it does not exist.
    manifest : path
        CSV to write; its column ``clean`` names the event without its background.
    **options
        Of ``generate`` (seed, clips_per_class, duration_s, ...).

    Returns
    -------
    list of str
        Class names in the order of their numbers.
    """
    folder = Path(data_folder)
    meta = Path(generate(folder, **options))
    rows, targets = [], {}
    for line, row in read_rows(meta, ("filename", "fold", "target", "category")):
        targets[to_int(row.target, "target", meta, line)] = row.category
        rows.append(
            {
                "ID": row.filename.rsplit(".", 1)[0],
                "wav": f"audio/{row.filename}",
                "fold": row.fold,
                "label": row.category,
                "clean": f"clean/{row.filename}",
                "row": line,
            }
        )
    write_manifest(rows, manifest, folder, meta)
    return [targets[t] for t in sorted(targets)]


def active_snr_db(clean, background, sample_rate):
    """Signal-to-noise ratio in dB over the active part of the event; inputs [n_samples].

    Both powers are averaged over the same 20 ms frames: those in which `clean` is within 20 dB of
    its loudest frame, so that the silence around a single knock does not make it a faint event.
    """
    hop = sample_rate // 50
    usable = len(clean) // hop * hop
    signal, noise = (
        np.square(x[:usable], dtype=float).reshape(-1, hop).mean(axis=1)
        for x in (clean, background)
    )
    active = signal >= 0.01 * signal.max()
    return 10 * np.log10(signal[active].sum() / noise[active].sum())


def make_clip(category, k, seed, n_samples, sample_rate, snr_range):
    """Clip k of a class -> mixture and clean event, float32 [n_samples], and the SNR in dB.

    Depends on nothing but its arguments, so a smaller data set is a prefix of a larger one.
    """
    index = list(CLASSES).index(category)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, k)))
    clean = CLASSES[category](rng, n_samples, sample_rate)
    background = rng.choice(BACKGROUNDS)(rng, n_samples, sample_rate)
    snr = rng.uniform(*snr_range)
    background *= 10 ** ((active_snr_db(clean, background, sample_rate) - snr) / 20)
    gain = rng.uniform(0.3, 0.95) / np.abs(clean + background).max()
    return np.float32(gain * (clean + background)), np.float32(gain * clean), snr


def generate(
    data_folder,
    seed=0,
    clips_per_class=40,
    n_folds=5,
    duration_s=3.0,
    sample_rate=16000,
    snr_db=(0, 15),
):
    """Write the data set and return the Path of its metadata CSV.

    audio/{fold}-{category}-{k:03d}.wav   the event in its background; mono, 32-bit float
    clean/<same name>                     the event alone, at the gain it has in the mixture
    meta/sounds.csv                       filename, fold, target, category, snr_db
    meta/generator.json                   all parameters

    `snr_db` is the range [low, high] to draw from, measured as `active_snr_db` does. Clip k of each
    class is in fold k % n_folds + 1. A complete data set of the same parameters is left alone, one
    of other parameters is replaced, and nothing appears in data_folder before all of it is made.

    ValueError: an argument out of range, or data_folder holds files that are not of our making.
    """
    for name, value, lowest in (
        ("seed", seed, 0),
        ("n_folds", n_folds, 1),
        ("clips_per_class", clips_per_class, n_folds),  # so that no fold lacks a class
        ("sample_rate", sample_rate, 16000),  # events reach up to 7 kHz
    ):
        if not isinstance(value, Integral) or value < lowest:
            raise ValueError(f"{name} is {value!r}, but must be an integer of at least {lowest}.")
    if not (isinstance(duration_s, Real) and 0.5 <= duration_s <= 600):
        raise ValueError(f"duration_s is {duration_s!r}, but must be between 0.5 and 600 seconds.")
    numbers = isinstance(snr_db, list | tuple) and [x for x in snr_db if isinstance(x, Real)]
    if not (numbers and len(numbers) == len(snr_db) == 2 and -99 <= snr_db[0] <= snr_db[1] <= 99):
        raise ValueError(f"snr_db is {snr_db!r}, but must be (low, high) within -99 to 99 dB.")

    record = {
        "generator": GENERATOR,
        "version": VERSION,
        "seed": int(seed),
        "clips_per_class": int(clips_per_class),
        "n_folds": int(n_folds),
        "duration_s": float(duration_s),
        "sample_rate": int(sample_rate),
        "snr_db": [float(x) for x in snr_db],
    }
    n_clips = record["clips_per_class"] * len(CLASSES)
    n_wavs = {"audio": n_clips, "clean": n_clips}
    generate_folder(data_folder, record, n_wavs, "sounds.csv", partial(_write, record=record))
    return Path(data_folder, "meta", "sounds.csv")


def _write(folder, record):
    """Make the sounds of `record` and their metadata in folder."""
    n_samples = round(record["duration_s"] * record["sample_rate"])
    clips = [(c, k) for c in CLASSES for k in range(record["clips_per_class"])]
    rows = []
    for category, k in tqdm(clips, desc="built-in sounds", unit="clip"):
        *sounds, snr = make_clip(
            category, k, record["seed"], n_samples, record["sample_rate"], record["snr_db"]
        )
        fold = k % record["n_folds"] + 1
        name = f"{fold}-{category}-{k:03d}.wav"
        for part, sound in zip(("audio", "clean"), sounds, strict=True):
            # 32-bit float, for mixture - clean must be the background, not rounding noise
            sf.write(folder / part / name, sound, record["sample_rate"], subtype="FLOAT")
        rows.append((name, fold, list(CLASSES).index(category), category, round(snr, 3)))
    columns = ["filename", "fold", "target", "category", "snr_db"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "meta" / "sounds.csv", index=False)
