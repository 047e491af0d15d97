"""Folders of recordings: noise in training, contaminants in evaluation, never the same."""

import logging
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from layouts import write_sound

import data_prep.audio
from data_prep.audio import AudioCache, read_audio
from data_prep.manifest import DataError
from data_prep.recordings import NoiseFolder, audio_files, noise_source, refuse_training_noise
from data_prep.scenarios import folder_clips
from lmac.settings.load import load

HERE = {"dataset_yaml": "hparams/datasets/builtin.yaml", "classifier_width": 2}


@pytest.fixture
def wham(tmp_path):
    """WHAM!'s layout: 16 kHz stereo."""
    folder = tmp_path / "wham_noise"
    for i, split in enumerate(("tr", "tr", "cv", "tt")):
        write_sound(folder / split / f"{i}.wav", 1.5, channels=2, seed=i)
    return folder


def ramps(folder, **lengths):
    """Files of which every sample tells file and place: 1000 * number + index, in 1/10000."""
    folder.mkdir(exist_ok=True)
    for i, (name, n) in enumerate(lengths.items()):
        wave = (1000 * (i + 1) + np.arange(n)) / 10000
        soundfile.write(folder / f"{name}.wav", wave, 16000, subtype="FLOAT")
    return folder


def test_long_noise_is_cropped_at_random_and_short_noise_looped(tmp_path):
    noise = NoiseFolder(ramps(tmp_path / "n", long=500, short=30), AudioCache(None))
    torch.manual_seed(0)
    pieces = (10000 * noise(200, 100)).round().int()
    files = pieces[:, 0] // 1000
    assert set(files.tolist()) == {1, 2} and 70 < int((files == 1).sum()) < 130
    long, short = pieces[files == 1], pieces[files == 2]
    assert (long.diff(dim=1) == 1).all()  # one piece, no jump
    starts = (long[:, 0] - 1000).tolist()
    assert min(starts) < 30 and 370 < max(starts) <= 400 and len(set(starts)) > 50
    assert set(short.diff(dim=1).unique().tolist()) == {1, -29}
    assert len(set(short[:, 0].tolist())) > 20
    exact = NoiseFolder(ramps(tmp_path / "e", exact=100), AudioCache(None))(1, 100)
    assert float(exact[0, 0]) == pytest.approx(0.1)


def test_noise_is_drawn_from_torchs_seed(tmp_path):
    noise = NoiseFolder(ramps(tmp_path / "n", a=500, b=300, c=400), AudioCache(tmp_path / "cache"))
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(noise(8, 50))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_nothing_is_read_before_it_is_drawn(tmp_path, monkeypatch):
    folder = ramps(tmp_path / "n", **{f"f{i}": 200 for i in range(50)})
    decoded = Counter()
    monkeypatch.setattr(
        data_prep.audio,
        "read_audio",
        lambda path, rate: decoded.update([str(path)]) or read_audio(path, rate),
    )
    monkeypatch.setattr(soundfile, "info", lambda *_: pytest.fail("looked into every file"))
    cache = AudioCache(tmp_path / "cache")
    noise = NoiseFolder(folder, cache)
    assert len(noise) == 50 and not decoded
    noise(10, 100)
    assert 1 < len(decoded) <= 10
    noise(500, 100)
    assert max(decoded.values()) == 1 and len(decoded) == 50
    assert isinstance(cache(noise.files[0]), np.memmap)  # pieces are read, not files


def test_rates_channels_and_silence(tmp_path, caplog):
    write_sound(tmp_path / "a" / "stereo.wav", 1.0, rate=44100, channels=2)
    piece = NoiseFolder(tmp_path / "a", AudioCache(None))(1, 16000)
    spectrum = torch.fft.rfft(piece[0]).abs()
    assert int(spectrum.argmax()) == 440  # one second at 16 kHz: a bin a hertz
    soundfile.write(tmp_path / "a" / "silent.wav", np.zeros(16000), 16000)
    pieces = NoiseFolder(tmp_path / "a", AudioCache(None))(64, 4000)
    assert (pieces.abs().amax(1) > 0.1).all()  # silence is drawn again
    (tmp_path / "a" / "stereo.wav").unlink()
    noise = NoiseFolder(tmp_path / "a", AudioCache(None))
    with caplog.at_level(logging.WARNING):
        assert noise(3, 100).abs().sum() == 0
    assert caplog.text.count("noise_folder: 10 pieces in a row were silent") == 1


def test_other_files_are_ignored_and_their_absence_is_named(tmp_path):
    folder = ramps(tmp_path / "n", a=100)
    (folder / "README.txt").write_text("no audio")
    (folder / "._a.wav").write_bytes(b"what macOS leaves behind")
    assert [p.name for p in audio_files(folder, "x")] == ["a.wav"]
    (folder / "a.wav").unlink()
    with pytest.raises(DataError, match=r"noise_folder: no audio files \(.wav, .*below .*n\."):
        NoiseFolder(folder, None)
    with pytest.raises(DataError, match="noise_folder: there is no folder .*gone"):
        NoiseFolder(tmp_path / "gone", None)
    assert noise_source(None, None) is None


@pytest.mark.parametrize("part", ["cv", "tt", ".", "tt/sub"])
def test_training_is_refused_the_noise_of_evaluation(wham, part):
    (wham / "tt" / "sub").mkdir()
    with pytest.raises(DataError, match="noise_folder: .* for evaluation only: give .*/tr") as e:
        load("hparams/classifier.yaml", {**HERE, "noise_folder": str(wham / part)})
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("part", ["tr", "."])
def test_evaluation_is_refused_the_noise_of_training(wham, part):
    with pytest.raises(DataError, match="contaminant_folder: .* for training only: give .*/cv or"):
        refuse_training_noise(wham / part, {})


def test_what_is_allowed(wham, tmp_path):
    hparams, _ = load("hparams/lmac.yaml", {
        **HERE, "noise_folder": str(wham / "tr"), "classifier_checkpoint": "x",
        "results_folder": str(tmp_path)})  # fmt: skip
    mixer = hparams["augment"].mixer
    assert len(mixer.noise) == 2 and mixer.probability == 1 and list(mixer.snr_db) == [0, 0]
    wav = torch.randn(4, 16000)
    added = mixer(wav) - wav
    torch.testing.assert_close(added.norm(dim=1), wav.norm(dim=1))  # 0 dB
    refuse_training_noise(wham / "cv", {"lmac_checkpoint": {}})
    refuse_training_noise(wham / "tt", {"lmac_checkpoint": {"augmentation": {"noise_path": None}}})
    # A folder that only happens to have such a name.
    NoiseFolder(ramps(tmp_path / "mine", a=10).rename(tmp_path / "tt"), None)


def test_a_split_is_known_without_the_others_and_through_a_link(wham, tmp_path):
    (tmp_path / "link").symlink_to(wham / "tt")
    (tmp_path / "data" / "WHAM").mkdir(parents=True)
    (tmp_path / "data" / "WHAM" / "tt").symlink_to(wham / "tt")
    for folder in (tmp_path / "link", tmp_path / "data" / "WHAM" / "tt"):
        with pytest.raises(DataError, match="for evaluation only"):
            NoiseFolder(folder, None)


@pytest.mark.parametrize("used,asked", [(".", "."), (".", "street"), ("street", ".")])
def test_evaluation_learns_the_noise_from_what_training_recorded(tmp_path, used, asked):
    noise = tmp_path / "noise"
    ramps(tmp_path / "noise", a=10)
    ramps(noise / "street", b=10)
    ramps(noise / "park", c=10)
    trained = {"classifier_checkpoint": {}, "lmac_checkpoint": {
        "augmentation": {"noise_folder": "noise/x", "noise_path": str(noise / used)}}}  # fmt: skip
    words = "shares recordings with .*noise.*that lmac_checkpoint was trained with: give"
    with pytest.raises(DataError, match=words):
        refuse_training_noise(noise / asked, trained)
    (tmp_path / "link").symlink_to(noise / asked)
    with pytest.raises(DataError, match=words):
        refuse_training_noise(tmp_path / "link", trained)
    if used == "street":
        refuse_training_noise(noise / "park", trained)
    trained["lmac_checkpoint"]["augmentation"]["noise_path"] = None
    refuse_training_noise(noise / asked, trained)


def test_only_the_utterances_that_are_kept_are_looked_into(tmp_path, monkeypatch):
    """LJSpeech: 13100 files, of which the published choice takes the last 3000."""
    folder = tmp_path / "LJSpeech-1.1" / "wavs"
    for i in range(12):
        write_sound(folder / f"LJ{i:03}.wav", 0.05, rate=22050)
    (folder / "LJ001.wav").write_text("damaged, but not asked for")
    (folder / "notes.txt").write_text("no audio")
    looked = []
    real = soundfile.info
    monkeypatch.setattr(soundfile, "info", lambda path: looked.append(path) or real(path))
    clips = folder_clips(folder, last=3)
    assert clips["ID"].tolist() == ["LJ009", "LJ010", "LJ011"] and len(looked) == 3
    assert clips["duration"].tolist() == pytest.approx([0.05] * 3, abs=1e-4)
    (folder / "LJ005.wav").write_bytes(b"")
    with pytest.raises(DataError, match="LJ001.wav, which is not a readable .* 1 others: LJ005"):
        folder_clips(folder)
    with pytest.raises(DataError, match="last_contaminants is 0: expected a number above 0"):
        folder_clips(folder, last=0)
