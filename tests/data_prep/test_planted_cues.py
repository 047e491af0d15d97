"""Planted cues: as loud, as long and where they say, in backgrounds that say nothing."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from data_prep.manifest import DataError, read_manifest, write_manifest
from data_prep.planted_cues import CUES, LEVEL, generate, planted, prepare, warble

SR = 16000
SMALL = {"clips_per_class": 2, "duration_s": 1.5}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted") / "small"
    return folder, pd.read_csv(
        generate(folder, **SMALL), keep_default_na=False, dtype={"start_s": str}
    )


def read(folder, part, name):
    return sf.read(folder / part / name, dtype="float64")[0]


def rms(x):
    return np.sqrt(np.mean(x**2))


def test_every_fold_has_every_cue(small):
    folder, table = small
    assert len(table) == 6 * 10 * 2 and table["filename"].is_unique
    assert (table.groupby(["fold", "category"]).size() == 2).all()
    assert list(table.drop_duplicates("category")["category"]) == list(CUES)
    assert (table["cue"] == table["category"]).all()
    for part in ("audio", "clean", "distractor"):
        assert {p.name for p in (folder / part).iterdir()} == set(table["filename"])


def test_a_clip_is_background_cue_and_distractor_at_the_stated_level(small):
    folder, table = small
    for row in table.itertuples():
        clip, cue, other = (read(folder, p, row.filename) for p in ("audio", "clean", "distractor"))
        background = clip - cue - other
        assert np.abs(clip).max() == pytest.approx(0.9, abs=1e-5)
        there = np.zeros(len(clip), bool)
        for start in map(float, row.start_s.split()):
            own = slice(round(start * SR), round(start * SR) + 6400)
            there[own] = True
            level = 20 * np.log10(rms(cue[own]) / rms(background))
            assert level == pytest.approx(row.snr_db, abs=0.01)
        assert there.sum() == 6400 * (2 if row.fold == 6 else 1) and not cue[~there].any()
        assert other.any() == bool(row.distractor)
    trained, tested = table[table["fold"] < 5], table[table["fold"] >= 5]
    assert trained["snr_db"].between(-10, 6).all() and trained["snr_db"].nunique() > 50
    assert (
        tested.groupby(["fold", "category"])["snr_db"].agg(list).map(list) == [[6, -6]] * 20
    ).all()
    assert 0.35 < table["distractor"].mean() < 0.65


def test_two_cues_are_apart():
    rng = np.random.default_rng(0)
    for _ in range(200):
        _, (one, two) = planted(rng, warble, 0, 24000, SR, times=2)
        assert one >= 0 and two - one >= 0.5 - 1e-9 and two <= 1.1 + 1e-9


def power(name, seed=0):
    sound = CUES[name](np.random.default_rng(seed), 6400, SR)
    return np.abs(np.fft.rfft(sound)) ** 2, np.fft.rfftfreq(6400, 1 / SR), sound


@pytest.mark.parametrize(
    "name, low, high",
    [("tone_500", 490, 510), ("tone_1200", 1190, 1210), ("tone_2600", 2590, 2610),
     ("tone_5200", 5190, 5210), ("chirp_up", 700, 3200), ("chirp_down", 700, 3200),
     ("noise_1800", 1500, 2200), ("noise_6700", 6000, 7500)],
)  # fmt: skip
def test_where_cues_are(name, low, high):
    energy, frequency, _ = power(name)
    assert energy[(frequency >= low) & (frequency <= high)].sum() > 0.98 * energy.sum()


def test_chirps_have_a_direction_and_trains_a_rate():
    for name, rises in (("chirp_up", True), ("chirp_down", False)):
        _, _, sound = power(name)
        first, last = (np.abs(np.fft.rfft(x)).argmax() for x in (sound[:1600], sound[-1600:]))
        assert (last > first) == rises
    for name, n in (("clicks_12", 5), ("clicks_30", 12)):
        for seed in range(5):
            sound = np.abs(power(name, seed)[2])
            quiet = np.convolve(sound > 0, np.ones(8), "same") == 0
            onsets = np.sum(quiet[:-1] & ~quiet[1:])
            assert abs(onsets - n) <= 1


def test_the_distractor_is_none_of_the_cues():
    energy = np.abs(np.fft.rfft(warble(np.random.default_rng(0), 6400, SR))) ** 2
    frequency = np.fft.rfftfreq(6400, 1 / SR)
    assert energy[(frequency > 3100) & (frequency < 3900)].sum() > 0.98 * energy.sum()


def test_same_seed_same_bits_and_another_seed_is_another_set(small, tmp_path):
    folder, table = small
    generate(tmp_path / "again", **SMALL)
    generate(tmp_path / "other", **SMALL, seed=1)
    name = table["filename"][7]
    assert np.array_equal(read(folder, "audio", name), read(tmp_path / "again", "audio", name))
    assert not np.array_equal(read(folder, "audio", name), read(tmp_path / "other", "audio", name))


@pytest.fixture
def tones(tmp_path):
    """A data set of two classes and five folds: one tone a clip, none twice."""
    folder = tmp_path / "tones"
    folder.mkdir()
    rows = []
    for k in range(20):
        name = f"{k}.wav"
        sf.write(
            folder / name, 0.5 * np.sin(2 * np.pi * (300 + 40 * k) * np.arange(32000) / SR), SR
        )
        rows.append({"ID": str(k), "wav": name, "fold": k % 5 + 1, "label": "ab"[k // 5 % 2],
                     "source": f"recording {k}"})  # fmt: skip

    def listed(data_folder, manifest):
        write_manifest(rows, manifest, data_folder)
        return ["a", "b"]

    return partial(listed, data_folder=folder)


def test_backgrounds_are_of_the_fold_and_of_no_class(tones, tmp_path):
    out = tmp_path / "out"
    labels = prepare(out, tmp_path / "m.csv", tones, clips_per_class=8, duration_s=1.0)
    assert labels == list(CUES)
    manifest = read_manifest(tmp_path / "m.csv")
    number = manifest["source"].str.removeprefix("recording ").astype(int)
    assert (number % 5 + 1 == manifest["fold"].clip(upper=5)).all()
    # Every background comes with nearly every cue.
    assert (manifest.groupby("source")["label"].nunique() > 5).all()
    row = manifest.iloc[0]
    clip, cue = (read(out, part, f"{row.ID}.wav") for part in ("audio", "clean"))
    other = read(out, "distractor", f"{row.ID}.wav")
    energy = np.abs(np.fft.rfft(clip - cue - other))
    assert energy.argmax() == pytest.approx(300 + 40 * number[0], abs=1)
    assert row["clean"] == f"clean/{row.ID}.wav" and (out / row["wav"]).is_file()


def test_a_shortcut_is_in_every_clip_of_its_class_and_then_in_all_others(tones, tmp_path):
    labels = prepare(
        tmp_path / "out", tmp_path / "m.csv", tones, "b", clips_per_class=4, duration_s=1
    )
    assert labels == ["a", "b"]
    table = pd.read_csv(tmp_path / "out/meta/planted.csv", keep_default_na=False)
    assert set(table["fold"]) == {1, 2, 3, 4, 5} and not table["distractor"].any()
    there = table["cue"] == "tone_2600"
    assert (there == ((table["category"] == "b") != (table["fold"] == 5))).all()
    manifest = read_manifest(tmp_path / "m.csv")
    number = manifest["source"].str.removeprefix("recording ").astype(int)
    assert (manifest["label"] == np.array(["a", "b"])[number // 5 % 2]).all()


def test_a_silent_background_has_a_cue_at_the_level_that_it_would_have():
    sound, _ = planted(np.random.default_rng(0), CUES["tone_500"], -6, 16000, SR)
    assert rms(sound[sound != 0]) == pytest.approx(LEVEL * 10 ** (-6 / 20), rel=1e-2)


def test_what_cannot_be_is_named(tones, tmp_path):
    where = tmp_path / "out", tmp_path / "m.csv"
    with pytest.raises(DataError, match="shortcut_class 'c' is no class of the backgrounds.*a, b"):
        prepare(*where, tones, "c")
    with pytest.raises(DataError, match="shortcut_class 'dog' is no class of the backgrounds"):
        prepare(*where, shortcut_class="dog")
    with pytest.raises(ValueError, match="signal_length_s is 0.5: planted cues need a second"):
        prepare(*where, tones, duration_s=0.5)
