"""The built-in sounds: reproducible, as loud as they say, complete or absent, neither trivial nor
hopeless to tell apart."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from data_prep import builtin_sounds
from data_prep.builtin_sounds import CLASSES, active_snr_db, generate, make_clip
from lmac.io.files import Unwritable

SMALL = {"clips_per_class": 4, "n_folds": 2, "duration_s": 1.0}
TINY = {"clips_per_class": 2, "n_folds": 2, "duration_s": 0.5}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small data set, (folder, metadata); tests must not change it."""
    folder = tmp_path_factory.mktemp("sounds") / "small"
    return folder, pd.read_csv(generate(folder, **SMALL))


def read(folder, part, name):
    return sf.read(folder / part / name, dtype="float32")[0]


def snapshot(folder):
    """{path: (bytes, mtime)} of every file."""
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def test_layout_and_metadata(small):
    folder, table = small
    assert list(table.columns) == ["filename", "fold", "target", "category", "snr_db"]
    assert len(table) == 4 * len(CLASSES) and table.filename.is_unique
    for part in ("audio", "clean"):
        assert {p.name for p in (folder / part).iterdir()} == set(table.filename)
    for row in table.itertuples():
        fold, category, k = row.filename.removesuffix(".wav").split("-")
        assert (int(fold), category) == (row.fold, row.category)
        assert row.fold == int(k) % 2 + 1
        assert row.target == list(CLASSES).index(category)
    assert (table.groupby(["category", "fold"]).size() == 2).all()
    assert sorted(p.name for p in folder.parent.iterdir()) == ["small"]  # no scratch left


def test_sound_is_mono_float_of_the_asked_length_and_level(small):
    folder, table = small
    for name in table.filename:
        info = sf.info(folder / "audio" / name)
        assert (info.frames, info.channels, info.samplerate) == (16000, 1, 16000)
        assert info.subtype == sf.info(folder / "clean" / name).subtype == "FLOAT"
        mixture, clean = read(folder, "audio", name), read(folder, "clean", name)
        assert np.isfinite(mixture).all() and np.isfinite(clean).all()
        assert 0.3 - 1e-6 <= np.abs(mixture).max() <= 0.95 + 1e-6
        assert np.abs(clean).max() > 0.01


def test_mixture_minus_clean_has_the_stated_snr(small):
    folder, table = small
    for row in table.itertuples():
        mixture, clean = read(folder, "audio", row.filename), read(folder, "clean", row.filename)
        assert 0 <= row.snr_db <= 15
        assert active_snr_db(clean, mixture - clean, 16000) == pytest.approx(row.snr_db, abs=0.01)


def test_snr_is_that_of_the_active_part():
    rng = np.random.default_rng(0)
    clean, background = np.zeros(16000), 0.1 * rng.standard_normal(16000)
    clean[3200:4800] = rng.standard_normal(1600)  # 100 ms of a second, 20 dB above the background
    clean[8000:9600] = 0.01 * rng.standard_normal(1600)  # 40 dB below: an inaudible tail
    assert active_snr_db(clean, background, 16000) == pytest.approx(20, abs=0.5)
    background[4800:] *= 100  # what the background does elsewhere does not matter
    assert active_snr_db(clean, background, 16000) == pytest.approx(20, abs=0.5)
    whole_clip = 10 * np.log10(np.sum(clean**2) / np.sum(background**2))
    assert whole_clip < -20


def test_same_seed_same_bits_and_fewer_clips_are_a_prefix(small, tmp_path):
    folder, _ = small
    fewer = generate(tmp_path / "fewer", **SMALL | {"clips_per_class": 2}).parents[1]
    names = sorted(p.name for p in (fewer / "audio").iterdir())
    assert len(names) == 2 * len(CLASSES)
    for part in ("audio", "clean"):
        for name in names:
            assert np.array_equal(read(fewer, part, name), read(folder, part, name))


@pytest.mark.parametrize("category", CLASSES)
def test_clips_of_a_class_differ_with_number_and_seed(category):
    first, again, next_k, next_seed = (
        make_clip(category, k, seed, 16000, 16000, (0, 15))
        for k, seed in [(0, 0), (0, 0), (1, 0), (0, 1)]
    )
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    for other in (next_k, next_seed):
        assert np.abs(np.corrcoef(first[1], other[1])[0, 1]) < 0.5 and first[2] != other[2]


@pytest.mark.parametrize("category", CLASSES)
def test_every_event_is_audible_at_any_length_and_rate(category):
    for k, (n, sr) in enumerate([(8000, 16000), (22050, 44100), (80000, 16000)] * 4):
        mixture, clean, snr = make_clip(category, k, 5, n, sr, (-5, 5))
        assert mixture.shape == clean.shape == (n,) and -5 <= snr <= 5
        assert np.isfinite(mixture).all() and np.abs(clean).max() > 0.01


def band_energies(wave):
    """Log energies in 24 geometric bands: how far, how much, how fast they leave their usual level.

    Returns [72]. The median over time stands for the background.
    """
    frames = np.lib.stride_tricks.sliding_window_view(wave, 512)[::256] * np.hanning(512)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.unique(np.geomspace(2, 256, 25).astype(int))
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-6)
    bands -= np.median(bands, axis=0)
    return np.concatenate([bands.max(0), bands.std(0), np.abs(np.diff(bands, axis=0)).mean(0)])


def test_classes_are_separable_but_not_trivially():
    """A nearest-centroid classifier, which knows nothing of patterns, is far from both ends."""
    clips = [(c, k) for c in range(len(CLASSES)) for k in range(12)]
    names = list(CLASSES)
    x = np.stack(
        [band_energies(make_clip(names[c], k, 0, 32000, 16000, (0, 15))[0]) for c, k in clips]
    )
    y, k = np.array(clips).T
    train = k < 8
    x = (x - x[train].mean(0)) / x[train].std(0)
    centroids = np.stack([x[train & (y == c)].mean(0) for c in range(len(CLASSES))])
    guess = np.linalg.norm(x[~train, None] - centroids, axis=2).argmin(1)
    assert 0.2 < np.mean(guess == y[~train]) < 0.9  # chance: 0.1


def test_calling_again_changes_nothing(tmp_path):
    first = generate(tmp_path / "s", **TINY)
    before = snapshot(tmp_path)
    (tmp_path / "s" / "my_manifest.csv").touch()  # files of others beside ours do not matter here
    assert generate(tmp_path / "s", **TINY) == first
    (tmp_path / "s" / "my_manifest.csv").unlink()
    assert snapshot(tmp_path) == before


def test_other_parameters_or_a_missing_clip_regenerate(tmp_path):
    folder = tmp_path / "s"
    generate(folder, **TINY | {"clips_per_class": 3})
    table = pd.read_csv(generate(folder, **TINY | {"seed": 3}))
    assert len(table) == len(list((folder / "audio").iterdir())) == 2 * len(CLASSES)
    assert json.loads((folder / "meta" / "generator.json").read_text())["seed"] == 3
    lost = folder / "clean" / table.filename[0]
    lost.unlink()
    generate(folder, **TINY | {"seed": 3})
    assert lost.exists() and list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("record", [None, "{", "[]", '{"generator": "someone else"}'])
def test_foreign_folder_is_refused_and_kept(tmp_path, record):
    (tmp_path / "s" / "meta").mkdir(parents=True)
    (tmp_path / "s" / "thesis.txt").write_text("precious")
    if record:
        (tmp_path / "s" / "meta" / "generator.json").write_text(record)
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match=str(tmp_path / "s")):
        generate(tmp_path / "s", **TINY)
    assert snapshot(tmp_path) == before


def test_results_kept_beside_the_sounds_are_not_thrown_away(tmp_path):
    generate(tmp_path / "s", **TINY)
    (tmp_path / "s" / "results.csv").write_text("precious")
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="results.csv"):
        generate(tmp_path / "s", **TINY | {"seed": 1})
    assert snapshot(tmp_path) == before


def test_empty_folder_is_filled(tmp_path):
    (tmp_path / "s").mkdir()
    assert generate(tmp_path / "s", **TINY).exists()


def test_interrupted_generation_leaves_what_was_there(tmp_path, monkeypatch):
    def interrupted(rng, n, sr):
        raise KeyboardInterrupt

    complete = generate(tmp_path / "complete", **TINY).parents[1]
    before = snapshot(complete)
    monkeypatch.setitem(builtin_sounds.CLASSES, "bell", interrupted)  # the last class
    for folder in (tmp_path / "new", complete):
        with pytest.raises(KeyboardInterrupt):
            generate(folder, **TINY | {"seed": 1})
    assert list(tmp_path.iterdir()) == [complete]
    assert snapshot(complete) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 0.5),
        ("n_folds", 0),
        ("clips_per_class", 4),  # fewer than the five folds
        ("clips_per_class", "40"),
        ("sample_rate", 8000),
        ("sample_rate", 16000.0),
        ("duration_s", 0),
        ("duration_s", float("nan")),
        ("duration_s", "3"),
        ("snr_db", 10),
        ("snr_db", (15, 0)),
        ("snr_db", (0, float("inf"))),
        ("snr_db", ("0", "15")),
        ("snr_db", (0, 5, 10)),
    ],
)
def test_bad_argument_is_named(tmp_path, name, value):
    with pytest.raises(ValueError, match=rf"^{name} is .* must be") as error:
        generate(tmp_path / "s", **{name: value})
    assert repr(value) in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), sf.LibsndfileError(2, "x: ")]
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, error):
    write, left = sf.write, iter(range(7))

    def full(*args, **kwargs):
        if next(left, None) is None:
            raise error
        write(*args, **kwargs)

    monkeypatch.setattr(builtin_sounds.sf, "write", full)
    with pytest.raises(Unwritable, match="sounds cannot be made .*: make room or give another"):
        generate(tmp_path / "sounds", **TINY)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    generate(tmp_path / "sounds", **TINY)
