"""Scenario manifests: seeded, kept, and rendered at the stated levels."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from conftest import forget_sum

from data_prep.manifest import DataError
from data_prep.mixing import mix, scenario_dataset
from data_prep.scenarios import folder_clips, scenario_manifest
from lmac.io.files import Damaged


@pytest.fixture
def clips(tmp_path):
    """Twelve clips of four classes: targets and contaminants."""
    generator = np.random.default_rng(0)
    rows = []
    for i in range(12):
        seconds = 1.0 if i % 3 else 2.5
        name = f"c{i}.wav"
        soundfile.write(tmp_path / name, 0.1 * generator.standard_normal(int(16000 * seconds)),
                        16000, subtype="FLOAT")  # fmt: skip
        rows.append({"ID": f"c{i}", "wav": name, "label": "abcd"[i % 4], "duration": seconds})
    table = pd.DataFrame(rows)
    return tmp_path, table[:6], table[6:]


def test_mix_is_the_published_formula():
    s1, s2 = torch.randn(1000), 7 * torch.randn(1000)
    mixture, clean = mix(s1, s2, 0.8, 0.2)
    by_hand = 0.8 * s1 / s1.pow(2).sum().sqrt() + 0.2 * s2 / s2.pow(2).sum().sqrt()
    by_hand /= by_hand.abs().max()
    torch.testing.assert_close(mixture, by_hand)
    level = 20 * torch.log10(clean.norm() / (mixture - clean).norm())
    assert float(level) == pytest.approx(20 * np.log10(4), abs=1e-3)  # 12 dB
    assert float(mixture.abs().max()) == pytest.approx(1.0)


def test_silence_mixes_without_nan():
    for target, contaminant in [(torch.zeros(9), torch.ones(9)), (torch.zeros(9),) * 2,
                                (torch.zeros(9), None)]:  # fmt: skip
        assert all(s.isfinite().all() for s in mix(target, contaminant, 0.8, 0.2))


def test_mixtures_are_two_a_target_of_other_classes(clips):
    folder, targets, contaminants = clips
    rows = scenario_manifest(folder / "s.csv", "mixtures", targets, contaminants,
                             seed=3, duration_s=1.0)  # fmt: skip
    assert len(rows) == 12 and rows["ID"].is_unique
    assert (rows["label"] != rows["contaminant_label"]).all()
    assert (rows.groupby("target")["contaminant"].nunique() == 2).all()
    long = rows["contaminant"].isin(contaminants[contaminants["duration"] > 2]["ID"])
    assert (rows["offset"][~long] == 0).all()
    assert rows["offset"][long].between(0, 24000).all() and (rows["offset"][long] > 0).any()


def test_a_manifest_is_drawn_once_from_its_seed(clips):
    folder, targets, contaminants = clips
    draw = lambda name, seed: scenario_manifest(  # noqa: E731
        folder / name, "mixtures", targets, contaminants, seed=seed
    )
    one, again, other = draw("1.csv", 3), draw("2.csv", 3), draw("3.csv", 4)
    pd.testing.assert_frame_equal(one, again)
    assert not one["contaminant"].equals(other["contaminant"])
    pd.testing.assert_frame_equal(draw("1.csv", 3), one)  # kept
    (folder / "1.csv").write_text((folder / "1.csv").read_text().replace("c6", "c9"))
    with pytest.raises(Damaged, match="1.csv is damaged or was changed: .*delete its line there"):
        draw("1.csv", 3)
    forget_sum(folder / "1.csv")
    changed = draw("1.csv", 3)  # read, not drawn again
    assert not changed.equals(one) and "c9" in changed["contaminant"].to_list()


def test_a_foreign_manifest_is_refused(clips):
    folder, targets, contaminants = clips
    scenario_manifest(folder / "s.csv", "plain", targets, contaminants)
    with pytest.raises(DataError, match="s.csv was drawn for scenario plain"):
        scenario_manifest(folder / "s.csv", "mixtures", targets, contaminants)
    with pytest.raises(DataError, match="has clips that are no targets here"):
        scenario_manifest(folder / "s.csv", "plain", targets[:3], contaminants)
    with pytest.raises(
        DataError, match="Unknown scenario 'rain': expected one of plain, id, noise, mixt"
    ):
        scenario_manifest(folder / "t.csv", "rain", targets, contaminants)


def test_rendering(clips):
    folder, targets, contaminants = clips
    rows = scenario_manifest(folder / "s.csv", "mixtures", targets, contaminants,
                             duration_s=1.0)  # fmt: skip
    dataset = scenario_dataset(rows, folder, list("abcd"), 16000)
    for i in range(len(dataset)):
        item, row = dataset[i], rows.iloc[i]
        target, _ = soundfile.read(folder / row.target_wav, dtype="float32")
        contaminant, _ = soundfile.read(folder / row.contaminant_wav, dtype="float32")
        contaminant = contaminant[row.offset : row.offset + 16000]
        expected, clean = mix(torch.from_numpy(target[:16000]), torch.from_numpy(contaminant),
                              0.8, 0.2)  # fmt: skip
        torch.testing.assert_close(item["sig"], expected)
        torch.testing.assert_close(item["clean"], clean)
        assert "abcd"[item["class"]] == row.label and item["target"] == row.target


def test_white_noise_is_6_db_below_and_seeded(clips):
    folder, targets, _ = clips
    rows = scenario_manifest(folder / "s.csv", "white_noise", targets, None, seed=1)
    items = [scenario_dataset(rows, folder, list("abcd"), 16000)[i] for i in (0, 0, 1)]
    assert torch.equal(items[0]["sig"], items[1]["sig"])
    noises = [item["sig"] - item["clean"] for item in items]
    for item, noise in zip(items, noises, strict=True):
        assert float(item["clean"].norm() / noise.norm()) == pytest.approx(2, rel=1e-3)
        spectrum = torch.fft.rfft(noise).abs() ** 2
        halves = [float(h.mean()) for h in spectrum.chunk(2)]
        assert halves[0] / halves[1] == pytest.approx(1, abs=0.1)
    overlap = torch.nn.functional.cosine_similarity(noises[0], noises[2], dim=0)
    assert abs(float(overlap)) < 0.1


def test_ambient_noise_at_0_db_loops_when_short(clips, tmp_path):
    folder, targets, _ = clips
    noise = np.random.default_rng(1).standard_normal(4000)
    (tmp_path / "tt").mkdir()
    soundfile.write(tmp_path / "tt" / "n.wav", 0.1 * noise, 16000, subtype="FLOAT")
    (tmp_path / "tt" / "notes.txt").write_text("no audio")
    contaminants = folder_clips(tmp_path / "tt")
    assert contaminants["ID"].tolist() == ["n"]
    rows = scenario_manifest(folder / "s.csv", "id", targets, contaminants)
    same = scenario_manifest(folder / "t.csv", "noise", targets, contaminants)
    pd.testing.assert_frame_equal(rows.drop(columns="scenario"), same.drop(columns="scenario"))
    assert len(rows) == len(targets)
    item = scenario_dataset(rows, folder, list("abcd"), 16000, contaminant_folder=tmp_path / "tt")[
        0
    ]
    added = item["sig"] - item["clean"]
    assert float(item["clean"].norm() / added.norm()) == pytest.approx(1, rel=1e-3)
    torch.testing.assert_close(added[:4000], added[8000:12000], atol=1e-5, rtol=1e-3)


def test_speech_comes_from_a_folder_and_is_cut_or_padded(clips, tmp_path):
    folder, targets, _ = clips
    for i, seconds in enumerate([0.5, 3.0, 0.7]):
        (tmp_path / "wavs").mkdir(exist_ok=True)
        wave = 0.1 * np.random.default_rng(i).standard_normal(int(22050 * seconds))
        soundfile.write(tmp_path / "wavs" / f"LJ{i}.wav", wave, 22050)
    last_two = folder_clips(tmp_path / "wavs", last=2)
    assert last_two["ID"].tolist() == ["LJ1", "LJ2"]
    rows = scenario_manifest(folder / "s.csv", "speech", targets, last_two, duration_s=1.0)
    assert len(rows) == 12 and set(rows["contaminant"]) == {"LJ1", "LJ2"}
    dataset = scenario_dataset(
        rows, folder, list("abcd"), 16000, contaminant_folder=tmp_path / "wavs"
    )
    for i, row in enumerate(rows.itertuples()):
        item = dataset[i]
        added = item["sig"] - item["clean"]
        assert float(item["clean"].norm() / added.norm()) == pytest.approx(4, rel=1e-3)
        silent_end = bool(added[-4000:].abs().max() < 1e-5)
        assert silent_end == (row.contaminant == "LJ2")


def test_a_contaminant_folder_that_will_not_do_is_named(tmp_path):
    with pytest.raises(DataError, match="contaminant_folder is not set"):
        folder_clips(None)
    with pytest.raises(DataError, match="contaminant_folder: no audio files"):
        folder_clips(tmp_path)
    (tmp_path / "bad.wav").write_text("no audio")
    with pytest.raises(DataError, match="contaminant_folder names .*bad.wav, which is not a read"):
        folder_clips(tmp_path)


def test_a_contaminant_names_one_recording(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/b.wav", "a-b.wav", "c.wav"):
        soundfile.write(tmp_path / name, np.ones(100), 16000)
    with pytest.raises(DataError, match="a/b.wav and a-b.wav in .* would both be called a-b"):
        folder_clips(tmp_path)
    (tmp_path / "a" / "b.wav").unlink()
    assert folder_clips(tmp_path)["ID"].tolist() == ["a-b", "c"]
