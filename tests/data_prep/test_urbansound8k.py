"""UrbanSound8K's layout: every encoding, partial copies, damaged data."""

import logging
import math
import shutil

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from conftest import make_explained
from layouts import CLASSES, US8K_HEADER, sound, us8k_row, write_sound, write_urbansound8k

from data_prep.dataset import clip_dataset
from data_prep.leaks import source_leaks
from data_prep.manifest import DataError, read_manifest, select_folds
from data_prep.split import split_fold
from data_prep.urbansound8k import prepare
from lmac.checkpoints import build_decoder
from lmac.core.decoder import TopDownDecoder
from lmac.core.losses import Step, cross_entropy, lmac_loss
from lmac.settings.load import load
from metrics import Outcome, compute

# Encoding, rate, channels, seconds, and the step between neighbouring values near 0.5.
ENCODINGS = [
    ("PCM_U8", 8000, 1, 1.3, 2**-7),
    ("PCM_16", 11025, 2, 4.0, 2**-15),
    ("PCM_16", 11024, 1, 0.5, 2**-15),
    ("PCM_24", 44100, 2, 2.0, 2**-23),
    ("PCM_32", 48000, 1, 1.0, 2**-24),
    ("FLOAT", 96000, 2, 1.0, 2**-24),
    ("DOUBLE", 192000, 1, 0.4, 2**-24),
    ("IMA_ADPCM", 22050, 2, 3.0, 0.1),
    ("MS_ADPCM", 44100, 2, 1.0, 0.1),
    ("ULAW", 8000, 1, 1.0, 2**-5),
    ("ALAW", 16000, 2, 1.0, 2**-5),
    ("PCM_16", 44100, 1, 0.05, 2**-15),
]
LENGTH = 64000


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """One clip an encoding, in turn in folds 1-10 and classes 0-9, and its manifest."""
    folder = tmp_path_factory.mktemp("encoded") / "UrbanSound8K"
    lines = [US8K_HEADER]
    for i, (subtype, rate, channels, seconds, _) in enumerate(ENCODINGS):
        name = f"{100 + i}-{i % 10}-0-{i}.wav"
        write_sound(folder / f"audio/fold{i % 10 + 1}" / name, seconds, rate, channels, subtype)
        lines.append(us8k_row(name, 100 + i, seconds, i % 10 + 1, i % 10))
    (folder / "metadata").mkdir()
    (folder / "metadata" / "UrbanSound8K.csv").write_text("".join(lines))
    labels = prepare(folder, folder / "manifest.csv")
    return folder, labels, read_manifest(folder / "manifest.csv")


@pytest.fixture
def folder(tmp_path):
    return write_urbansound8k(tmp_path / "UrbanSound8K", seconds=0.2)


def test_labels_folds_sources_and_paths(encoded):
    _, labels, manifest = encoded
    assert labels == list(CLASSES)  # by classID
    assert manifest["fold"].tolist() == [*range(1, 11), 1, 2]
    assert manifest["source"].tolist() == [str(100 + i) for i in range(12)]
    assert manifest["wav"][9] == "audio/fold10/109-9-0-9.wav"
    assert manifest["label"][9] == "street_music"
    for duration, (subtype, _, _, seconds, _) in zip(manifest["duration"], ENCODINGS, strict=True):
        # ADPCM comes in whole blocks, so such files are a little longer.
        assert seconds - 1e-3 <= duration <= seconds + (0.1 if "ADPCM" in subtype else 1e-3)


@pytest.mark.parametrize("index", range(len(ENCODINGS)), ids=[e[0] for e in ENCODINGS])
def test_samples_against_a_plain_reference(encoded, index):
    folder, labels, manifest = encoded
    item = clip_dataset(manifest, folder, labels, LENGTH)[index]
    data, rate = soundfile.read(folder / manifest["wav"][index], always_2d=True)
    subtype, written, channels, seconds, step = ENCODINGS[index]
    assert rate == written and data.shape[1] == channels
    mono = torch.from_numpy(data.mean(1)).float()
    reference = torchaudio.functional.resample(mono, rate, 16000)[:LENGTH]
    reference = reference / reference.abs().max()
    assert item["sig"].shape == (LENGTH,)
    torch.testing.assert_close(item["sig"][: len(reference)], reference, atol=1e-5, rtol=1e-4)
    assert item["sig"][len(reference) :].abs().sum() == 0
    assert labels[item["class"]] == CLASSES[index % 10]


@pytest.mark.parametrize("index", range(len(ENCODINGS)), ids=[e[0] for e in ENCODINGS])
def test_the_encodings_hold_what_was_written(encoded, index):
    """Within the step of the encoding: no sign, offset or scale is lost."""
    folder, _, manifest = encoded
    subtype, rate, channels, seconds, step = ENCODINGS[index]
    data, _ = soundfile.read(folder / manifest["wav"][index], always_2d=True)
    wave = sound(seconds, rate, channels)
    error = data[: len(wave)] - wave
    assert np.abs(error).max() < 1.01 * step or ("ADPCM" in subtype and error.std() < step)


def test_the_default_folds(folder, tmp_path):
    hparams, _ = load("hparams/classifier.yaml", {
        "dataset_yaml": "hparams/datasets/urbansound8k.yaml", "data_folder": str(folder),
        "classifier_width": 2, "results_folder": str(tmp_path)})  # fmt: skip
    assert hparams["train_folds"] == list(range(1, 9))
    assert (hparams["valid_folds"], hparams["test_folds"]) == ([9], [10])
    assert hparams["signal_length_s"] == 4.0 and hparams["out_n_neurons"] == len(CLASSES)
    hparams["prepare_data"](manifest=tmp_path / "m.csv")
    assert len(read_manifest(tmp_path / "m.csv")) == 30
    evaluation, _ = load("recipes/UrbanSound8K/recipe.yaml:evaluation", {
        "data_folder": str(folder), "results_folder": str(tmp_path)})  # fmt: skip
    assert (evaluation["target_folds"], evaluation["contaminant_folds"]) == ([9], [10])


def test_a_partial_copy_serves_the_folds_it_has(folder, tmp_path, caplog):
    for fold in (3, 7, 10):
        shutil.rmtree(folder / f"audio/fold{fold}")
    with caplog.at_level(logging.WARNING):
        assert prepare(folder, tmp_path / "m.csv") == list(CLASSES[:3])
    assert "audio lacks fold3, fold7, fold10: 9 of the 30 clips are left out" in caplog.text
    manifest = read_manifest(tmp_path / "m.csv")
    assert len(select_folds(manifest, [1, 2, 9], "train_folds")) == 9
    with pytest.raises(DataError, match=r"test_folds: fold \[10\] has no clips; folds here"):
        select_folds(manifest, [9, 10], "test_folds")
    shutil.rmtree(folder / "audio")
    expect(folder, "no clips below .*audio. Give the folder that holds audio/fold1")


def test_a_whole_copy_warns_of_nothing(folder, tmp_path, caplog):
    prepare(folder, tmp_path / "m.csv")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def expect(folder, message):
    with pytest.raises(DataError, match=message) as error:
        prepare(folder, folder / "m.csv")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "line,message",
    [
        ("none.wav,1,0,1,1,2,0,air_conditioner", "row 32, names .*fold2/none.wav, .*not exist"),
        ("x.wav,1,0,1,1,2,dog,dog_bark", "row 32: column classID holds 'dog', expected a whole"),
        ("x.wav,1,0,1,1,two,3,dog_bark", "row 32: column fold holds 'two', expected a whole"),
        ("x.wav,1,0,1,1,2,0,siren", "row 32: classID 0 is 'siren' here and 'air_conditioner' ab"),
        ("1010-0-0-0.wav,1,0,1,1,1,0,air_conditioner", "row 32: clip 1010-0-0-0 is also in row 2;"),
        ("zero.wav,1,0,1,1,2,0,air_conditioner", "row 32, names .*zero.wav, .*not a readable"),
        ("empty.wav,1,0,1,1,2,0,air_conditioner", "row 32, names .*empty.wav, .*no samples"),
        ("cut.wav,1,0,1,1,2,0,air_conditioner", "row 32, names .*cut.wav, which is cut short: its"),
        ("head.wav,1,0,1,1,2,0,air_conditioner", "row 32, names .*head.wav, .*not a readable"),
    ],
)  # fmt: skip
def test_damaged_rows_and_files_are_named_with_their_row(folder, line, message):
    fold = folder / "audio" / "fold2"
    (fold / "zero.wav").write_bytes(b"")
    soundfile.write(fold / "empty.wav", np.zeros(0), 16000)
    whole = next(fold.glob("10*.wav")).read_bytes()
    (fold / "cut.wav").write_bytes(whole[:1200])
    (fold / "head.wav").write_bytes(whole[:30])
    with (folder / "metadata" / "UrbanSound8K.csv").open("a") as file:
        file.write(line + "\n")
    expect(folder, message)


@pytest.mark.parametrize("subtype", ["PCM_U8", "FLOAT", "IMA_ADPCM", "MS_ADPCM", "ULAW"])
def test_a_file_cut_in_any_encoding_is_named(folder, subtype):
    path = min((folder / "audio" / "fold5").glob("*.wav"))
    write_sound(path, subtype=subtype)
    prepare(folder, folder / "m.csv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    expect(folder, f"row 14, names .*{path.name}, which is cut short")


def test_a_header_that_was_never_filled_in_is_no_damage(folder):
    """As ffmpeg writes it into a pipe."""
    path = min((folder / "audio" / "fold5").glob("*.wav"))
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    prepare(folder, folder / "m.csv")


def test_a_missing_folder_or_column_is_named(folder, tmp_path):
    expect_missing = "data_folder: there is no folder .*nowhere.*--data_folder"
    with pytest.raises(DataError, match=expect_missing):
        prepare(tmp_path / "nowhere", tmp_path / "m.csv")
    meta = folder / "metadata" / "UrbanSound8K.csv"
    meta.write_text("slice_file_name,fold\n")
    expect(folder, "has no column fsID, classID, class: expected")
    meta.unlink()
    expect(folder, "no metadata file .*UrbanSound8K.csv")


@pytest.mark.parametrize("domain", ["stft", "mel"])
@pytest.mark.parametrize("kind", ["a twentieth of a second", "silence"])
def test_the_shortest_and_the_silent_clip_train_without_nan(encoded, tmp_path, domain, kind):
    """Loss, gradients, mask and metrics; padded to what CNN14 needs at least, and to 4 s."""
    folder, labels, manifest = encoded
    if kind == "silence":
        soundfile.write(tmp_path / "s.wav", np.zeros(800), 16000)
        manifest = manifest[-1:].assign(wav="s.wav")
        folder = tmp_path
    explained = make_explained(domain=domain, n_classes=10)
    torch.manual_seed(0)
    decoder = build_decoder(lambda c, n: TopDownDecoder(c, n, hidden=4), explained)
    for n_samples in (5952, LENGTH):
        item = clip_dataset(manifest[-1:], folder, labels, n_samples)[0]
        wav = item["sig"][None]
        X, _ = explained.domain.analyse(wav)
        logits, representations = explained(X)
        assert math.isfinite(cross_entropy(logits, torch.tensor([item["class"]])))
        target = logits.argmax(1)
        mask = decoder(representations, X, target, explained.domain).sigmoid()
        parts = [logits, explained.logits(mask * X), explained.logits((1 - mask) * X)]
        loss = lmac_loss(Step(*parts[1:], target, mask))["loss"]
        loss.backward()
        assert loss.isfinite() and mask.isfinite().all()
        assert all(p.grad.isfinite().all() for p in decoder.parameters() if p.grad is not None)
        scores = compute(Outcome(*[x.detach().double().softmax(1) for x in parts], target, mask))
        assert all(value.isfinite().all() for value in scores.values())


def test_a_fold_is_split_by_recording(folder, tmp_path):
    """Three more recordings of a class in fold 3: the second and third largest are moved."""
    meta = folder / "metadata" / "UrbanSound8K.csv"
    for fsid, n in ((7, 3), (8, 2), (9, 2)):
        for i in range(n):
            name = f"{fsid}-0-0-{i}.wav"
            write_sound(folder / "audio" / "fold3" / name, 0.2, seed=i)
            meta.write_text(meta.read_text() + us8k_row(name, fsid, 0.2, 3, 0))
    prepare(folder, tmp_path / "whole.csv")
    prepare(folder, tmp_path / "split.csv", split_fold=3)
    whole, split = (read_manifest(tmp_path / f"{name}.csv") for name in ("whole", "split"))
    moved = split["fold"] == 13
    assert set(split[moved]["source"]) == {"8", "9"} and moved.sum() == 4
    assert (whole["fold"][moved] == 3).all() and whole[~moved].equals(split[~moved])
    # 1030 is the class's own fourth; the other classes have one recording each, which stays.
    assert set(split[split["fold"] == 3]["source"]) == {"7", "1030", "1031", "1032"}
    assert source_leaks(split, [1, 2, 3], [13]).empty


def test_the_three_folds(folder, tmp_path):
    words = {"dataset_yaml": "hparams/datasets/urbansound8k_3folds.yaml",
             "data_folder": str(folder), "results_folder": str(tmp_path)}  # fmt: skip
    hparams, _ = load("recipes/UrbanSound8K/recipe.yaml:evaluation", words)
    folds = ("train_folds", "valid_folds", "test_folds", "target_folds", "contaminant_folds")
    assert [hparams[key] for key in folds] == [[1, 2], [3], [13], [3], [13]]
    # This copy has one recording a class and fold.
    with pytest.raises(DataError, match="no class has two recordings in fold 3, so it cannot"):
        hparams["prepare_data"](manifest=tmp_path / "m.csv")


def row(fold, source, label="a"):
    return {"ID": f"{fold}-{source}-{label}", "fold": fold, "label": label, "source": source}


@pytest.mark.parametrize(
    "rows,message",
    [
        ([row(1, "x")], r"fold 3 has no clips; folds here: \[1\]"),
        ([row(3, "x"), row(13, "y")], "fold 13, which is to get a half, has clips already"),
        ([row(3, "x"), row(3, "")], "clip 3--a names no recording to split by"),
    ],
)
def test_a_fold_that_cannot_be_split(rows, message):
    with pytest.raises(DataError, match=f"split_fold: {message}"):
        split_fold(rows, 3, 13)


def test_a_recording_of_two_classes_is_in_one_part():
    rows = [row(3, "p"), row(3, "q"), row(3, "q", "b"), row(3, "r", "b"), row(3, "s", "b")]
    folds = {}
    for one in split_fold(rows, 3, 13):
        folds.setdefault(one["source"], set()).add(one["fold"])
    assert folds == {"p": {3}, "q": {13}, "r": {3}, "s": {13}}
