"""Damaged clips stop a training with file and row before its first step; silence is no damage."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

import eval_explanations
import train_classifier
import train_lmac
from data_prep.dataset import clip_dataset, require_every_class
from data_prep.esc50 import prepare
from data_prep.manifest import DataError, read_manifest
from interpreters.gradcam import GradCAM
from interpreters.saliency import Saliency
from lmac.classifiers import AudioClassifier, Cnn14, LinearHead
from lmac.core.decoder import TopDownDecoder
from lmac.core.domain import FrontEnd, get_domain
from lmac.core.explained import ExplainedClassifier
from lmac.core.losses import Step, lmac_loss
from lmac.training.augment import ClipMixer, WaveformAugment
from metrics import Outcome, compute

RATE, LINE = 16000, "{name}.wav,{fold},{target},{label},True,{source},A"


@pytest.fixture
def folder(tmp_path):
    """ESC-50's layout: two classes, four clips of 1 s in each of five folds."""
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").mkdir()
    generator = np.random.default_rng(0)
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for i in range(20):
        target = i % 2
        wave = generator.standard_normal(RATE).cumsum() if target else generator.random(RATE) - 0.5
        wave = 0.5 * wave / np.abs(wave).max()
        name = f"clip{i}"
        soundfile.write(tmp_path / "audio" / f"{name}.wav", wave, RATE, subtype="FLOAT")
        lines.append(LINE.format(name=name, fold=i // 4 + 1, target=target,
                                 label=["hiss", "rumble"][target], source=i))  # fmt: skip
    (tmp_path / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def change_row(folder, line, old, new):
    meta = folder / "meta" / "esc50.csv"
    lines = meta.read_text().splitlines()
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    meta.write_text("\n".join(lines) + "\n")


def options(folder, output):
    return [
        f"--data_folder={folder}", f"--output_folder={output}", "--out_n_neurons=2",
        f"--results_folder={folder}/results", "--signal_length_s=1.0", "--classifier_width=2",
        "--number_of_epochs=1", "--batch_size=4", "--device=cpu",
    ]  # fmt: skip


def train(folder, *overrides):
    output = f"{folder}/classifier"
    train_classifier.main(["hparams/classifier.yaml", *options(folder, output), *overrides])


def nan_samples(folder):
    path = folder / "audio" / "clip3.wav"
    wave, _ = soundfile.read(path)
    wave[-1] = np.nan
    soundfile.write(path, wave, RATE, subtype="FLOAT")


def cut(folder, share):
    path = folder / "audio" / "clip3.wav"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


DAMAGE = {
    "truncated": (lambda f: cut(f, 0.5), "row 5, names .*clip3.wav, which is cut short"),
    "zero bytes": (lambda f: cut(f, 0), "row 5, names .*clip3.wav, which is not a readable"),
    "no file": (
        lambda f: (f / "audio" / "clip3.wav").unlink(),
        "row 5, names .*clip3.wav, which does not exist",
    ),
    "target": (
        lambda f: change_row(f, 5, ",1,rumble", ",one,rumble"),
        "esc50.csv, row 5: column target holds 'one'",
    ),
    "NaN": (nan_samples, "row 5 of the metadata: .*clip3.wav holds samples that are NaN"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_training_stops_with_file_and_row(folder, kind):
    damage, message = DAMAGE[kind]
    damage(folder)
    with pytest.raises(DataError, match=message):
        train(folder)
    assert not list((folder / "classifier").rglob("*.ckpt"))


def test_all_clips_with_bad_samples_are_named_and_also_without_a_cache(folder):
    nan_samples(folder)
    wave = np.full(RATE, np.inf)
    soundfile.write(folder / "audio" / "clip7.wav", wave, RATE, subtype="FLOAT")
    labels = prepare(folder, folder / "m.csv")
    manifest = read_manifest(folder / "m.csv")
    with pytest.raises(DataError) as error:
        clip_dataset(manifest, folder, labels, RATE, folder / "cache")
    first, second = str(error.value).splitlines()
    assert "clip3.wav" in first and "row 5 of" in first
    assert "clip7.wav" in second and "row 9 of" in second
    dataset = clip_dataset(manifest, folder, labels, RATE)
    assert torch.isfinite(dataset[2]["sig"]).all()
    with pytest.raises(
        DataError, match="row 5 of the metadata: .*clip3.wav holds samples that are"
    ):
        dataset[3]


def test_a_failed_start_can_be_repeated_with_a_download(folder):
    """The run that is refused for want of data has already noted its settings."""
    gone = folder / "gone"
    with pytest.raises(DataError, match="there is no folder .*--download=True"):
        train(folder, f"--data_folder={gone}")
    url = "http://127.0.0.1:1/x.zip"
    with pytest.raises(DataError, match="cannot be reached .*By hand: fetch"):
        train(folder, f"--data_folder={gone}", "--download=True", f"--download_url={url}")


@pytest.mark.parametrize("domain", ["stft", "mel"])
def test_silence_gives_numbers_everywhere(domain):
    torch.manual_seed(0)
    embedding_model = Cnn14(width=2)
    classifier = AudioClassifier(embedding_model, LinearHead(embedding_model.emb_dim, 3))
    explained = ExplainedClassifier(get_domain(domain, FrontEnd()), classifier)
    wav = torch.stack([torch.zeros(RATE), 0.1 * torch.randn(RATE), torch.zeros(RATE)])
    for batch in (wav, torch.zeros(2, RATE)):
        for augment in (None, WaveformAugment(mixer=ClipMixer(probability=1))):
            X, phase = explained.domain.analyse(augment(batch)[0] if augment else batch)
            decoder = TopDownDecoder(*explained.output_sizes(), hidden=4)
            logits, representations = explained(X)
            target = logits.argmax(1)
            mask = decoder(representations, X, target, explained.domain).sigmoid()
            both = explained.logits(torch.cat([mask * X, (1 - mask) * X]))
            parts = lmac_loss(Step(*both.chunk(2), target, mask))
            parts["loss"].backward()
            numbers = {**parts, "mask": mask}
            numbers |= {n: p.grad for n, p in decoder.named_parameters()}
            probs = [explained.probabilities(m * X) for m in (1, mask, 1 - mask)]
            numbers |= compute(Outcome(*probs, target, mask.detach()))
            if domain == "stft":
                numbers["audio"] = explained.domain.synthesise(mask * X, phase)
            assert {k for k, v in numbers.items() if not torch.isfinite(v).all()} == set()
            for method in (Saliency, GradCAM):
                found = method(explained).explain(X, target)
                assert torch.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


def test_training_and_evaluation_with_silent_clips(folder):
    for name in ("clip0", "clip12", "clip16"):  # of the folds for training, selection and test
        soundfile.write(folder / "audio" / f"{name}.wav", np.zeros(RATE), RATE)
    half = np.where(np.arange(RATE) < RATE // 4, 0.1, 0)
    soundfile.write(folder / "audio" / "clip1.wav", half, RATE)  # this one is not silent
    train(folder)
    log = (folder / "classifier" / "log.txt").read_text()
    for row, name in ((2, "clip0"), (14, "clip12"), (18, "clip16")):
        where = f"row {row} of the metadata: {folder}/audio/{name}.wav"
        assert f"clips are silent in their first 1 s: {where}" in log
    assert log.count("are silent") == 3 and "clip1.wav" not in log
    best = f"--classifier_checkpoint={folder}/classifier/best"
    train_lmac.main(["hparams/lmac.yaml", *options(folder, f"{folder}/lmac"), best,
                     "--decoder_hidden=4"])  # fmt: skip
    for name in ("classifier", "lmac"):
        log = (folder / name / "train_log.txt").read_text()
        assert "valid loss" in log and "nan" not in log and "inf" not in log
    evaluation = [o for o in options(folder, f"{folder}/scores") if "epochs" not in o]
    eval_explanations.main(["hparams/evaluation.yaml", *evaluation, best, "--listen=0",
                            f"--lmac_checkpoint={folder}/lmac/best", "--decoder_hidden=4",
                            "--methods=[L-MAC,Saliency,Random]", "--scenario=plain",
                            "--n_boot=20"])  # fmt: skip
    rows = pd.read_csv(folder / "scores" / "metrics.csv")
    silent = rows[(rows["ID"] == "clip12") & (rows["method"] != "Saliency")]
    assert len(silent) == 2 and len(rows) == 12
    # Silence has no ratio of signal to distortion; everything else is a number.
    assert silent["SI-SDR (dB)"].isna().all()
    numbers = silent.drop(columns="SI-SDR (dB)").select_dtypes("number")
    assert np.isfinite(numbers.to_numpy(dtype=float)).all()


# --- clips that are silent where they are looked at ---


def zeros_in_front(folder, name="clip3", seconds=3):
    path = folder / "audio" / f"{name}.wav"
    wave, _ = soundfile.read(path)
    soundfile.write(path, np.concatenate([np.zeros(seconds * RATE), wave]), RATE, subtype="FLOAT")


def test_what_is_looked_at_is_judged(folder, caplog):
    zeros_in_front(folder)
    labels = prepare(folder, folder / "m.csv")
    manifest = read_manifest(folder / "m.csv")
    given = manifest, folder, labels, 2 * RATE, folder / "cache", RATE
    dataset = clip_dataset(*given)
    assert "1 of 20 clips are silent in their first 2 s: row 5 of the metadata" in caplog.text
    assert "Of 1 of 20 clips, which are longer, the first 2 s are used" in caplog.text
    assert not dataset[3]["sig"].any()
    caplog.clear()
    found = clip_dataset(*given, crop="loudest")[3]["sig"]
    assert "silent" not in caplog.text
    wave, _ = soundfile.read(folder / "audio" / "clip3.wav", dtype="float32")
    assert np.count_nonzero(found) > 0.99 * RATE  # all of its sound
    np.testing.assert_allclose(found[-RATE:], wave[-RATE:] / np.abs(wave).max(), rtol=1e-5)


def test_a_class_without_training_clips_is_one_sentence(folder):
    labels = prepare(folder, folder / "m.csv")
    manifest = read_manifest(folder / "m.csv")
    require_every_class(manifest, labels, {"train_folds": [1, 2, 3]})
    rest = manifest[(manifest["label"] != "rumble") | (manifest["fold"] > 3)]
    with pytest.raises(DataError, match="train_folds .1, 2, 3. have no clip of rumble"):
        require_every_class(rest, labels, {"train_folds": [1, 2, 3]})
