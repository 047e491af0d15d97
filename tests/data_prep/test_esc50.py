"""ESC-50's layout: fixtures with odd encodings, damaged data, and the real ESC-10."""

import csv
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from data_prep import audio
from data_prep.audio import AudioCache, AudioError, fit_length, read_audio
from data_prep.dataset import clip_dataset
from data_prep.esc50 import prepare
from data_prep.manifest import DataError, read_manifest, select_folds

HEADER = "filename,fold,target,category,esc10,src_file,take\n"


def tone(seconds, rate, channels=1):
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    return np.stack([wave] * channels, 1)


@pytest.fixture
def folder(tmp_path):
    """Five clips, one a fold: rates, channels, lengths and file types as they come."""
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").mkdir()
    clips = [
        ("1-1-A-0.wav", 5.0, 44100, 1, "PCM_16", 0, "dog", True),
        ("2-2-A-0.wav", 3.0, 16000, 2, "PCM_24", 0, "dog", True),
        ("3-3-A-36.flac", 7.2, 22050, 1, "PCM_16", 36, "vacuum_cleaner", False),
        ("4-4-A-10.ogg", 5.0, 48000, 2, "VORBIS", 10, "rain", True),
        ("5-5-A-10.wav", 5.0, 8000, 1, "FLOAT", 10, "rain", True),
    ]
    lines = [HEADER]
    for name, seconds, rate, channels, subtype, target, category, esc10 in clips:
        soundfile.write(
            tmp_path / "audio" / name, tone(seconds, rate, channels), rate, subtype=subtype
        )
        fold, source, take = name.split(".")[0].split("-")[:3]
        lines.append(f"{name},{fold},{target},{category},{esc10},{source},{take}\n")
    (tmp_path / "meta" / "esc50.csv").write_text("".join(lines))
    return tmp_path


def test_labels_folds_and_paths(folder, tmp_path):
    labels = prepare(folder, tmp_path / "out" / "manifest.csv")
    manifest = read_manifest(tmp_path / "out" / "manifest.csv")
    assert labels == ["dog", "rain", "vacuum_cleaner"]  # by target number: 0, 10, 36
    assert manifest["fold"].tolist() == [1, 2, 3, 4, 5]
    assert manifest["wav"][2] == "audio/3-3-A-36.flac"
    assert manifest["duration"].tolist() == pytest.approx([5.0, 3.0, 7.2, 5.0, 5.0], abs=1e-3)


def test_esc10_by_option(folder, tmp_path):
    assert prepare(folder, tmp_path / "m.csv", esc10_only=True) == ["dog", "rain"]
    assert len(read_manifest(tmp_path / "m.csv")) == 4


@pytest.mark.parametrize("index", range(5))
def test_samples_against_a_plain_reference(folder, tmp_path, index):
    labels = prepare(folder, tmp_path / "m.csv")
    manifest = read_manifest(tmp_path / "m.csv")
    dataset = clip_dataset(manifest, folder, labels, 80000, tmp_path / "cache")
    item = dataset[index]
    data, rate = soundfile.read(folder / manifest["wav"][index], always_2d=True)
    reference = torchaudio.functional.resample(torch.from_numpy(data.mean(1)).float(), rate, 16000)[
        :80000
    ]
    reference = reference / reference.abs().max()
    assert item["sig"].shape == (80000,)
    torch.testing.assert_close(item["sig"][: len(reference)], reference, atol=1e-5, rtol=1e-4)
    assert item["sig"][len(reference) :].abs().sum() == 0
    assert labels[item["class"]] == manifest["label"][index]


def test_every_file_is_decoded_once(folder, tmp_path, monkeypatch):
    decoded = Counter()
    real = audio.decode
    monkeypatch.setattr(audio, "decode", lambda path: decoded.update([str(path)]) or real(path))
    path = folder / "audio" / "1-1-A-0.wav"
    first = AudioCache(tmp_path / "cache")(path)
    second = AudioCache(tmp_path / "cache")(path)
    assert decoded[str(path)] == 1
    assert np.array_equal(first, second) and len(first) == 80000
    soundfile.write(path, tone(1.0, 16000), 16000)  # a changed file is read again
    assert len(AudioCache(tmp_path / "cache")(path)) == 16000


def test_fit_length():
    assert fit_length(np.arange(5.0), 3, start=1).tolist() == [1, 2, 3]
    assert fit_length(np.arange(2.0) + 1, 4).tolist() == [1, 2, 0, 0]
    assert fit_length(np.arange(2.0), 2, start=9).tolist() == [0, 0]


def expect(folder, message):
    with pytest.raises(DataError, match=message) as error:
        prepare(folder, folder / "m.csv")
    assert "\n" not in str(error.value)


def test_a_missing_folder_is_named(tmp_path):
    expect(tmp_path / "nowhere", "data_folder: there is no folder .*nowhere.*--data_folder")


def test_missing_metadata_and_columns_are_named(folder):
    meta = folder / "meta" / "esc50.csv"
    meta.write_text("filename,fold,category\na.wav,1,dog\n")
    expect(folder, "esc50.csv has no column target, esc10: expected .* found filename")
    meta.unlink()
    expect(folder, "no metadata file .*esc50.csv")


@pytest.mark.parametrize(
    "line,message",
    [
        ("none.wav,1,0,dog,True,1,A", "row 7, names .*none.wav, which does not exist"),
        ("1-1-A-0.wav,one,0,dog,True,1,A", "row 7: column fold holds 'one'"),
        ("1-1-A-0.wav,1,x,dog,True,1,A", "row 7: column target holds 'x'"),
        ("1-1-A-0.wav,1,0,cat,True,1,A", "row 7: target 0 is 'cat' here and 'dog' above"),
        ("empty.wav,1,0,dog,True,1,A", "row 7, names .*empty.wav, which holds no samples"),
        ("zero.wav,1,0,dog,True,1,A", "row 7, names .*zero.wav, .*not a readable audio"),
        ("text.wav,1,0,dog,True,1,A", "row 7, names .*text.wav, .*not a readable audio"),
    ],
)
def test_damaged_rows_and_files_are_named_with_their_row(folder, line, message):
    soundfile.write(folder / "audio" / "empty.wav", np.zeros(0), 16000)
    (folder / "audio" / "zero.wav").write_bytes(b"")
    (folder / "audio" / "text.wav").write_text("this is no audio")
    with (folder / "meta" / "esc50.csv").open("a") as file:
        file.write(line + "\n")
    expect(folder, message)


def test_samples_that_cannot_be_used_are_named(tmp_path):
    path = tmp_path / "nan.wav"
    wave = tone(1.0, 16000)
    wave[100] = np.nan
    soundfile.write(path, wave, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="nan.wav holds samples that are NaN"):
        read_audio(path, 16000)
    (tmp_path / "cut.flac").write_bytes(b"fLaC")
    with pytest.raises(AudioError, match="cut.flac cannot be decoded"):
        read_audio(tmp_path / "cut.flac", 16000)
    with pytest.raises(AudioError, match="gone.wav does not exist"):
        AudioCache(tmp_path)(tmp_path / "gone.wav")


def test_a_fold_without_clips_is_named(folder, tmp_path):
    prepare(folder, tmp_path / "m.csv")
    manifest = read_manifest(tmp_path / "m.csv")
    assert len(select_folds(manifest, [1, 3], "train_folds")) == 2
    with pytest.raises(DataError, match=r"train_folds: fold \[9\] has no clips; folds here"):
        select_folds(manifest, [1, 9], "train_folds")


def test_the_real_esc10(esc10, tmp_path):
    """Against the metadata read by hand, and samples against plain soundfile and a resampler."""
    labels = prepare(esc10, tmp_path / "m.csv", esc10_only=True)
    manifest = read_manifest(tmp_path / "m.csv")
    with (esc10 / "meta" / "esc50.csv").open() as file:
        expected = list(csv.DictReader(file))
    assert len(manifest) == 400 and len(labels) == 10
    assert manifest["wav"].tolist() == [f"audio/{r['filename']}" for r in expected]
    assert manifest["label"].tolist() == [r["category"] for r in expected]
    assert manifest["fold"].tolist() == [int(r["fold"]) for r in expected]
    names = {int(r["target"]): r["category"] for r in expected}
    assert labels == [names[target] for target in sorted(names)]
    assert set(Counter(zip(manifest["fold"], manifest["label"], strict=True)).values()) == {8}

    odd = (manifest["duration"] - 5).abs().nlargest(4).index
    chosen = manifest.loc[sorted({*range(0, 400, 40), *odd})]
    dataset = clip_dataset(chosen, esc10, labels, 80000, tmp_path / "cache")
    for i, row in enumerate(chosen.itertuples()):
        data, rate = soundfile.read(esc10 / row.wav, always_2d=True)
        assert row.duration == pytest.approx(len(data) / rate, abs=1e-4)
        mono = torch.from_numpy(data.mean(1))
        reference = torchaudio.functional.resample(mono, rate, 16000)[:80000].float()
        item, n = dataset[i], len(reference)
        assert item["sig"].shape == (80000,) and labels[item["class"]] == row.label
        torch.testing.assert_close(
            item["sig"][:n], reference / reference.abs().max(), atol=1e-5, rtol=1e-4
        )
        assert not item["sig"][n:].any()
    assert manifest["duration"][odd].min() < 4 < 7 < manifest["duration"][odd].max()


def test_no_recording_of_the_real_esc10_is_in_two_folds(esc10, tmp_path):
    """By the column src_file and by the file names, which state it, too."""
    prepare(esc10, tmp_path / "m.csv", esc10_only=True)
    manifest = read_manifest(tmp_path / "m.csv")
    assert manifest["source"].tolist() == manifest["ID"].str.split("-").str[1].tolist()
    folds = manifest.groupby("source")["fold"].nunique()
    assert len(folds) < 400 and (folds == 1).all()
