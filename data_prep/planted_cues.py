"""Planted cues: clips whose class is a cue that was mixed in, so that the reason is known.

Backgrounds are clips of any data set, drawn independently of the class (those of fold k from its
fold k), or the built-in ones; the class is which of CUES was mixed in for 0.4 s at a random time.
Every clip has the cue alone beside it, and the distractor, which says nothing of the class:

    audio/<name>.wav         background, cue and, in a share of the clips, the distractor
    clean/<name>.wav         the cue alone, at its level in the clip
    distractor/<name>.wav    the distractor alone; silent where the clip has none
    meta/planted.csv         filename, fold, target, category, cue, level, times, source
    meta/generator.json      all parameters

Folds 1 to 3 train, 4 selects, 5 tests at fixed levels; in fold 6 the cue is there twice ("two
reasons"). With a ``shortcut_class`` the classes are those of the backgrounds, and one cue is in
every clip of that class, but in fold 5 in every clip of the other classes instead.
"""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
from tqdm import tqdm

from data_prep.audio import fit_length, read_audio
from data_prep.builtin_events import BACKGROUNDS
from data_prep.generated import generate_folder
from data_prep.manifest import DataError, read_manifest, read_rows, to_int, write_manifest

GENERATOR = "data_prep.planted_cues"
VERSION = 1  # raise it whenever a change alters the audio, so that old folders are regenerated
CUE_S, FADE_S = 0.4, 0.01
LEVEL = 0.1  # root mean square of every background, and what snr_db refers to where it is silent
TEST, TWO = 5, 6
FOLDS = (1, 2, 3, 4, TEST, TWO)
SHORTCUT_CUE = "tone_2600"


def _faded(sound, sr):
    """Root mean square 1, with raised-cosine ends."""
    n = round(FADE_S * sr)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)
    sound = sound.copy()
    sound[:n] *= ramp
    sound[-n:] *= ramp[::-1]
    return sound / np.sqrt(np.mean(sound**2))


def _sweep(rng, n, sr, frequency):
    """A sinusoid whose frequency in Hz is that of an array [n], or one number."""
    phase = np.cumsum(np.broadcast_to(2 * np.pi * frequency / sr, n))
    return np.sin(rng.uniform(0, 2 * np.pi) + phase)


def _band(rng, n, sr, low, high):
    """White noise between two frequencies in Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = np.fft.rfftfreq(n, 1 / sr)
    return np.fft.irfft(spectrum * ((frequency >= low) & (frequency <= high)), n)


def _clicks(rng, n, sr, rate):
    """Bursts of noise that decay within 2 ms, ``rate`` a second."""
    out = np.zeros(n)
    burst = np.exp(-np.arange(round(0.008 * sr)) / (0.002 * sr))
    for start in np.arange(rng.uniform(0, 1), CUE_S * rate - 0.2, 1) * sr / rate:
        own = burst[: n - int(start)]
        out[int(start) : int(start) + len(own)] += rng.standard_normal(len(own)) * own
    return out


def _chirp(rng, n, sr, first, last):
    return _sweep(rng, n, sr, np.geomspace(first, last, n))


CUES = {  # the order gives the target index
    "tone_500": partial(_sweep, frequency=500),
    "tone_1200": partial(_sweep, frequency=1200),
    "tone_2600": partial(_sweep, frequency=2600),
    "tone_5200": partial(_sweep, frequency=5200),
    "chirp_up": partial(_chirp, first=800, last=3000),
    "chirp_down": partial(_chirp, first=3000, last=800),
    "clicks_12": partial(_clicks, rate=12),
    "clicks_30": partial(_clicks, rate=30),
    "noise_1800": partial(_band, low=1500, high=2200),
    "noise_6700": partial(_band, low=6000, high=7500),
}
FAMILIES = {name: name.split("_")[0] for name in CUES}


def warble(rng, n, sr):
    """The distractor: 3.5 kHz, eight times a second 250 Hz up and down."""
    time = np.arange(n) / sr
    return _sweep(rng, n, sr, 3500 + 250 * np.sin(2 * np.pi * (8 * time + rng.uniform())))


def planted(rng, make, snr_db, n_samples, sample_rate, times=1):
    """A cue at random times, ``snr_db`` above LEVEL in root mean square.

    Returns
    -------
    sound : array [n_samples]
    starts : list of float
        Seconds, ascending; the cues do not overlap and are at least 0.1 s apart.
    """
    n = round(CUE_S * sample_rate)
    gap = round(0.1 * sample_rate)
    room = n_samples - times * n - (times - 1) * gap
    starts = np.sort(rng.integers(0, room + 1, size=times)) + np.arange(times) * (n + gap)
    out = np.zeros(n_samples)
    for start in starts:
        level = LEVEL * 10 ** (snr_db / 20)
        out[start : start + n] = level * _faded(make(rng, n, sample_rate), sample_rate)
    return out, [start / sample_rate for start in starts]


def prepare(data_folder, manifest, backgrounds=None, shortcut_class=None, **options):
    """Generate the clips where they are missing, and write their manifest.

    Arguments
    ---------
    data_folder : path
        Made when it does not exist.
    manifest : path
        CSV to write; its column ``clean`` names the cue alone, ``source`` the background's
        recording. That of the backgrounds is written beside it.
    backgrounds : callable, optional
        ``prepare`` of a data set with folds 1 to 5 (its arguments but ``manifest`` filled in),
        whose keyword ``data_folder`` says where its audio is; None for the built-in ones.
    shortcut_class : str, optional
        A class of the backgrounds, which then are the classes.
    **options
        Of ``generate``.

    Returns
    -------
    list of str
        Class names in the order of their numbers.

    Raises
    ------
    DataError
        For backgrounds that lack a fold, and a ``shortcut_class`` that they do not have.
    """
    pool = labels = None
    if backgrounds is not None:
        path = Path(manifest).with_name("backgrounds.csv")
        labels = backgrounds(manifest=path)
        pool = read_manifest(path).assign(folder=str(backgrounds.keywords["data_folder"]))
        lacking = sorted(set(FOLDS[:5]) - set(pool["fold"]))
        if lacking:
            raise DataError(f"backgrounds: folds 1 to 5 are needed, and fold {lacking[0]} is none.")
    if shortcut_class is not None and shortcut_class not in (labels or ()):
        raise DataError(
            f"shortcut_class {shortcut_class!r} is no class of the backgrounds: expected one of "
            f"{', '.join(labels or ['(the built-in ones have none)'])}."
        )
    meta = Path(generate(data_folder, pool, labels, shortcut_class, **options))
    rows, targets = [], {}
    for line, row in read_rows(meta, ("filename", "fold", "target", "category", "source")):
        targets[to_int(row.target, "target", meta, line)] = row.category
        rows.append(
            {
                "ID": row.filename.rsplit(".", 1)[0],
                "wav": f"audio/{row.filename}",
                "fold": row.fold,
                "label": row.category,
                "source": row.source,
                "clean": f"clean/{row.filename}",
                "row": line,
            }
        )
    write_manifest(rows, manifest, data_folder, meta)
    return [targets[t] for t in sorted(targets)]


def generate(
    data_folder,
    pool=None,
    labels=None,
    shortcut_class=None,
    seed=0,
    clips_per_class=24,
    duration_s=2.5,
    sample_rate=16000,
    planted_snr_db=(-10, 6),
    tested_snr_db=(6, -6),
    distractor=0.5,
):
    """Write the data set (see the top of this file); returns the Path of ``meta/planted.csv``.

    Arguments
    ---------
    data_folder : path
    pool : DataFrame, optional
        Backgrounds: ``folder``, ``wav``, ``fold``, ``label``, ``source``; None for the built-in
        ones.
    labels, shortcut_class : optional
        Classes of the backgrounds, and that which has the shortcut.
    clips_per_class : int
        In each fold.
    planted_snr_db : (float, float)
        Range of the cue's level above the background's, dB, in folds 1 to 4: root mean squares of
        the 0.4 s of the one and of the whole other.
    tested_snr_db : list of float
        Levels in folds 5 and 6, in turn.
    distractor : float
        Share of the clips with a distractor, at a level of its own from the range, in folds 5 and 6
        at that of the cue. With a ``shortcut_class`` there is none.

    A complete data set of the same parameters is left alone, one of others replaced; ValueError
    where ``data_folder`` holds files that are not of our making, or clips would be too short.
    """
    if duration_s < 1:
        raise ValueError(f"signal_length_s is {duration_s}: planted cues need a second at least.")
    record = {
        "generator": GENERATOR,
        "version": VERSION,
        "backgrounds": "built-in" if pool is None else _digest(pool),
        "shortcut_class": shortcut_class,
        "seed": int(seed),
        "clips_per_class": int(clips_per_class),
        "duration_s": float(duration_s),
        "sample_rate": int(sample_rate),
        "planted_snr_db": [float(x) for x in planted_snr_db],
        "tested_snr_db": [float(x) for x in tested_snr_db],
        "distractor": float(distractor),
    }
    classes = list(CUES) if shortcut_class is None else list(labels)
    folds = FOLDS if shortcut_class is None else FOLDS[:-1]
    n = len(classes) * len(folds) * record["clips_per_class"]
    n_wavs = {"audio": n, "clean": n, "distractor": n}
    write = partial(_write, record=record, pool=pool, classes=classes, folds=folds)
    generate_folder(data_folder, record, n_wavs, "planted.csv", write)
    return Path(data_folder, "meta", "planted.csv")


def _digest(pool):
    text = pool[["wav", "fold", "label", "bytes"]].to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _write(folder, record, pool, classes, folds):
    rows, decoded = [], {}
    clips = [(f, c, k) for f in folds for c in classes for k in range(record["clips_per_class"])]
    for fold, category, k in tqdm(clips, desc="planted cues", unit="clip"):
        number = classes.index(category)
        key = np.random.SeedSequence(record["seed"], spawn_key=(fold, number, k))
        sounds, row = _make(np.random.default_rng(key), record, pool, fold, category, k, decoded)
        name = f"{fold}-{category}-{k:03d}.wav"
        for part, sound in zip(("audio", "clean", "distractor"), sounds, strict=True):
            # 32-bit float, for clip - cue must be the background, not rounding noise
            sf.write(folder / part / name, np.float32(sound), record["sample_rate"], "FLOAT")
        rows.append({"filename": name, "fold": fold, "target": number, "category": category, **row})
    pd.DataFrame(rows).to_csv(folder / "meta" / "planted.csv", index=False)


def _make(rng, record, pool, fold, category, k, decoded):
    """Clip, cue and distractor, each [n], and what is known of them."""
    sr, shortcut = record["sample_rate"], record["shortcut_class"]
    n = round(record["duration_s"] * sr)
    tested = fold in (TEST, TWO)
    levels = record["tested_snr_db"]
    snr = levels[k % len(levels)] if tested else rng.uniform(*record["planted_snr_db"])
    background, source = _background(rng, record, pool, fold, category, n, decoded)
    cue, starts, name = np.zeros(n), [], category
    if shortcut is not None:
        name = SHORTCUT_CUE if (category == shortcut) != (fold == TEST) else ""
    if name:
        cue, starts = planted(rng, CUES[name], snr, n, sr, times=2 if fold == TWO else 1)
    other = np.zeros(n)
    if shortcut is None and (here := rng.random() < record["distractor"]):
        level = snr if tested else rng.uniform(*record["planted_snr_db"])
        other, _ = planted(rng, warble, level, n, sr)
    else:
        here = False
    clip = background + cue + other
    gain = 0.9 / np.abs(clip).max() if clip.any() else 1.0
    return [gain * x for x in (clip, cue, other)], {
        "cue": name,
        "snr_db": round(snr, 3),
        "distractor": int(here),
        "start_s": " ".join(f"{s:.4f}" for s in starts),
        "source": source,
    }


def _background(rng, record, pool, fold, category, n, decoded):
    """A background [n] at LEVEL, silence where it is silent, and the recording it comes from."""
    sr = record["sample_rate"]
    if pool is None:
        make = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
        sound, source = make(rng, n, sr), f"built-in {rng.integers(2**31)}"
    else:
        own = pool[pool["fold"] == min(fold, TEST)]
        if record["shortcut_class"] is not None:
            own = own[own["label"] == category]
        row = own.iloc[rng.integers(len(own))]
        path = Path(row["folder"], row["wav"])
        if path not in decoded:
            decoded[path] = read_audio(path, sr)
        samples = decoded[path]
        sound = fit_length(samples, n, int(rng.integers(max(0, len(samples) - n) + 1)))
        source = row["source"] or row["ID"]
    sound = np.float64(sound)
    power = np.sqrt(np.mean(sound**2))
    return (sound * LEVEL / power if power > 1e-6 else np.zeros(n)), source
