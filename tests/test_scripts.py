"""The three scripts, end to end on a few built-in sounds."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import soundfile
import torch
from conftest import TINY, forget_sum
from layouts import recipe_stages
from PIL import Image
from pretrained import text_folder
from speechbrain.dataio.encoder import CategoricalEncoder
from speechbrain.lobes.models.ECAPA_TDNN import Classifier as CosineHead

import eval_explanations
import train_classifier
import train_lmac
from interpreters.constant import AllOnes
from lmac.checkpoints import classifier_domain, training_info
from lmac.classifiers import AudioClassifier, Cnn14, LinearHead
from lmac.core.domain import FrontEnd
from lmac.core.explained import ExplainedClassifier
from lmac.evaluation.checks import audit, resynthesis
from lmac.evaluation.folder import COLUMNS
from lmac.explain.audio import add_wavs, write_wavs
from lmac.io.checked_rows import CHECK
from lmac.io.files import Damaged
from lmac.settings.load import load, merge
from metrics import METRICS

RECIPES = recipe_stages()
EXPERIMENTS = [
    Path("hparams") / f"{n}.yaml" for n in ("classifier", "lmac", "l2i", "evaluation", "explain")
]


def run(script, yaml, folder, *overrides):
    script.main([f"hparams/{yaml}.yaml", *TINY, f"--results_folder={folder}", *overrides])


def train_classifier_in(folder, *overrides):
    run(train_classifier, "classifier", folder, f"--output_folder={folder}/classifier",
        "--number_of_epochs=1", "--batch_size=10", *overrides)  # fmt: skip


def train_lmac_in(folder, *overrides):
    run(train_lmac, "lmac", folder, f"--output_folder={folder}/lmac",
        f"--classifier_checkpoint={folder}/classifier/best", "--number_of_epochs=1",
        "--decoder_hidden=8", *overrides)  # fmt: skip


TRAININGS = [(train_classifier_in, "classifier"), (train_lmac_in, "lmac")]


def evaluate_in(folder, name, *overrides):
    """The rows and the summary of an evaluation in ``folder / name``."""
    run(eval_explanations, "evaluation", folder, f"--output_folder={folder}/{name}",
        f"--classifier_checkpoint={folder}/classifier/best",
        f"--lmac_checkpoint={folder}/lmac/best",
        "--decoder_hidden=8", "--listen=2", "--batch_size=8", "--n_boot=50",
        *overrides)  # fmt: skip
    return [pd.read_csv(folder / name / f"{f}.csv") for f in ("metrics", "summary")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A results folder with a trained classifier, decoder and evaluation of all methods."""
    folder = tmp_path_factory.mktemp("results")
    train_classifier_in(folder)
    train_lmac_in(folder)
    evaluate_in(folder, "all")
    return folder


@pytest.mark.parametrize("path", RECIPES + EXPERIMENTS, ids=str)
def test_every_yaml_loads(path, tmp_path):
    overrides = {"results_folder": str(tmp_path)}
    tree = merge(path)
    for key, value in tree.items():
        if getattr(getattr(value, "tag", None), "value", None) == "!PLACEHOLDER":
            # A folder of noise is looked into at once; none is as good here.
            overrides[key] = None if key == "noise_folder" else "somewhere"
    if "audio" in tree:  # counts the classes of a real classifier
        encoder = CategoricalEncoder()
        encoder.update_from_iterable(["dog", "rain"], sequence_input=False)
        encoder.save(tmp_path / "label_encoder.txt")
        overrides["classifier_checkpoint"] = str(tmp_path)
    if "text_model" in tree:
        overrides["text_model"] = str(text_folder(tmp_path / "text_model"))
    hparams, _ = load(path, overrides)
    rates = {"aisfx": 44100, "zero_shot": 44100, "efficientat": 32000}
    expected = [rate for name, rate in rates.items() if name in str(path)]
    assert hparams["sample_rate"] == (expected or [16000])[0]


# Those that bring their weights from a source are tried in tests/classifiers/test_pretrained.py,
# those of prompts in tests/training/test_zero_shot.py.
TRAINED_HERE = [
    path for path in sorted(Path("hparams/classifiers").glob("*.yaml"))
    if path.stem
    not in ("huggingface", "speechbrain", "clap", "contrastive", "efficientat_audioset")
]  # fmt: skip


@pytest.mark.parametrize("path", TRAINED_HERE, ids=str)
def test_every_classifier_is_an_override_away(path):
    overrides = {"data_folder": "x", "classifier_checkpoint": "x", "classifier_yaml": str(path)}
    hparams, _ = load("hparams/evaluation.yaml", overrides)
    classifier = AudioClassifier(hparams["embedding_model"], hparams["classifier"])
    explained = ExplainedClassifier(classifier_domain(hparams), classifier)
    channels, n_classes = explained.output_sizes()
    assert n_classes == 50
    if "efficientat" not in path.name:  # whose embedding is that of one more layer
        assert channels[-1] == hparams["emb_dim"]
    assert isinstance(hparams["classifier"], CosineHead) == (path.name == "conv2d_published.yaml")


def test_classifier_training_leaves_what_the_readme_says(folder):
    best = folder / "classifier" / "best"
    info = json.loads((best / "info.json").read_text())
    assert 0 <= info["test"]["accuracy"] <= 1 and info["test"]["folds"] == [5]
    assert info["loss"] == "cross_entropy"
    for name in ("embedding_model.ckpt", "classifier.ckpt", "confusion.png", "label_encoder.txt"):
        assert (best / name).stat().st_size > 0
    assert "'animal_call' => 0" in (best / "label_encoder.txt").read_text()


def test_training_goes_on_where_it_was(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "again")
    again = tmp_path / "again"
    train_classifier_in(again, "--number_of_epochs=2")
    log = (again / "classifier" / "train_log.txt").read_text()
    assert log.count("epoch: 1,") == 1 and log.count("epoch: 2,") == 1


def test_the_classifier_is_frozen_to_the_bit(folder, tmp_path, monkeypatch):
    """Weights and BatchNorm statistics, after a real training."""
    kept = {}
    build = train_lmac.explained_classifier
    monkeypatch.setattr(
        train_lmac, "explained_classifier", lambda h: kept.setdefault("explained", build(h))
    )
    shutil.copytree(folder / "classifier", tmp_path / "classifier")
    train_lmac_in(tmp_path, "--lr=0.01", f"--data_folder={folder}/builtin_sounds")
    classifier = kept["explained"].classifier
    for part in ("embedding_model", "classifier"):
        stored = torch.load(tmp_path / f"classifier/best/{part}.ckpt", weights_only=True)
        state = getattr(classifier, part).state_dict()
        assert set(stored) == set(state)
        for name, value in stored.items():
            assert torch.equal(state[name], value), name
    # The check can fail: one pass in training mode moves the statistics.
    classifier.embedding_model.train()
    classifier(torch.rand(2, 64, 80))
    name = "conv_block1.norm1.running_mean"
    stored = torch.load(tmp_path / "classifier/best/embedding_model.ckpt", weights_only=True)
    assert not torch.equal(classifier.embedding_model.state_dict()[name], stored[name])


@pytest.mark.parametrize(
    "train,part", [(train_classifier_in, "classifier"), (train_lmac_in, "lmac")]
)
def test_a_debugging_run_changes_nothing_that_is_there(folder, tmp_path, capsys, train, part):
    """--debug=True into the folder of a finished training: best/ and the checkpoints stay."""
    shutil.copytree(folder / "classifier", tmp_path / "classifier")
    shutil.copytree(folder / "lmac", tmp_path / "lmac")
    kept = [p for d in ("best", "save") for p in (tmp_path / part / d).rglob("*") if p.is_file()]
    before = {path: path.read_bytes() for path in kept}
    assert len(before) > 4
    train(tmp_path, "--debug=True", "--debug_batches=1", "--debug_epochs=1")
    assert {path: path.read_bytes() for path in kept} == before
    assert "A debugging run: nothing is kept." in capsys.readouterr().out


@pytest.mark.parametrize(
    "train,part", [(train_classifier_in, "classifier"), (train_lmac_in, "lmac")]
)
def test_what_trained_nothing_exports_nothing(folder, tmp_path, train, part):
    if part == "lmac":
        shutil.copytree(folder / "classifier", tmp_path / "classifier")
    with pytest.raises(ValueError, match="--test_only=True: .* has no checkpoint: train first"):
        train(tmp_path, "--test_only=True")
    assert not (tmp_path / part / "best").exists()


def test_what_is_recorded_is_what_ran(folder, tmp_path):
    """Two epochs ran, whatever is asked for when the best checkpoint is only looked at again."""
    shutil.copytree(folder / "classifier", tmp_path / "classifier")
    train_lmac_in(tmp_path, "--number_of_epochs=2")
    train_lmac_in(tmp_path, "--number_of_epochs=9", "--test_only=True")
    assert training_info(tmp_path / "lmac" / "best")["epochs"] == 2


def test_lmac_training_lowers_its_loss(folder, tmp_path):
    shutil.copytree(folder / "classifier", tmp_path / "classifier")
    train_lmac_in(tmp_path, "--number_of_epochs=40", f"--data_folder={folder}/builtin_sounds")
    losses = [
        float(line.split("train loss: ")[1].split(",")[0])
        for line in (tmp_path / "lmac" / "train_log.txt").read_text().splitlines()
        if "train loss" in line
    ]
    assert len(losses) == 40 and losses[-1] < 0.9 * losses[0]


def test_the_published_decoder_trains_through_yaml(folder, tmp_path):
    """201 frames, for it takes one length in four only."""
    shutil.copytree(folder / "classifier", tmp_path / "classifier")
    train_lmac.main(
        ["hparams/lmac.yaml", *TINY, f"--results_folder={tmp_path}", "--signal_length_s=2.33",
         "--decoder_yaml=hparams/decoders/psi.yaml", "--number_of_epochs=1",
         f"--output_folder={tmp_path}/lmac",
         f"--classifier_checkpoint={tmp_path}/classifier/best"]
    )  # fmt: skip
    state = torch.load(tmp_path / "lmac/best/decoder.ckpt", weights_only=True)
    assert "convt9.weight" in state


def test_evaluation_files(folder):
    rows, summary = (pd.read_csv(folder / "all" / f"{f}.csv") for f in ("metrics", "summary"))
    methods = ["L-MAC", "Saliency", "GradCAM", "All-ones", "Random"]
    assert (
        list(rows.columns) == [*COLUMNS, CHECK] and rows[CHECK].str.fullmatch("[0-9a-f]{12}").all()
    )
    assert len(rows) == 5 * 20 and not rows.duplicated(["method", "ID"]).any()
    assert list(summary["method"]) == methods and set(summary["n"]) == {20}
    for name in METRICS:
        by_hand = rows.groupby("method")[name].mean()
        for line in summary.to_dict("records"):
            assert line[name] == pytest.approx(by_hand[line["method"]], rel=1e-8)
    ones = rows[rows["method"] == "All-ones"]
    assert (ones[["AI", "AD", "AG", "AD (published)"]] == 0).all(axis=None)
    assert (rows["FF"] - (rows["p"] - rows["p_out"])).abs().max() < 1e-12
    table = (folder / "all" / "table.md").read_text()
    for stated in ("clips of 1.0 s", "20 clips of 10 different targets", "fold [4]", "seed 1234",
                   "CNN14 width 4", "cross_entropy", "accuracy", "commit",
                   "as published"):  # fmt: skip
        assert stated in table, stated


def test_samples_can_be_listened_to(folder):
    clips = sorted((folder / "all" / "samples").iterdir())
    assert len(clips) == 2
    methods = set(pd.read_csv(folder / "all" / "metrics.csv")["method"])
    for clip in clips:
        wavs = {str(p.relative_to(clip)): soundfile.read(p) for p in clip.rglob("*.wav")}
        shared = ["contaminant.wav", "input.wav", "target.wav"]
        assert sorted(wavs) == sorted(
            [f"{m}/{part}.wav" for m in methods for part in ("explanation", "removed")] + shared
        )  # the input once
        for wave, rate in wavs.values():
            assert rate == 16000 and len(wave) == 16000 and abs(wave).max() < 1
        for name in ("L-MAC/explanation", "Saliency/removed", "target"):
            assert (wavs[f"{name}.wav"][0] ** 2).mean() ** 0.5 > 1e-4
        # One gain: the parts of the mixture add up, and what a mask of ones leaves is the input.
        mixture = wavs["input.wav"][0]
        together = wavs["target.wav"][0] + wavs["contaminant.wav"][0]
        assert together == pytest.approx(mixture, abs=1e-6)
        assert wavs["All-ones/explanation.wav"][0] == pytest.approx(mixture, abs=1e-4)
        assert (clip / "L-MAC" / "explanation.png").stat().st_size > 10000
        pictures = [Image.open(clip / n) for n in ("spectrogram.png", "L-MAC/mask.png")]
        assert {p.size for p in pictures} == {(87, 513)}  # a pixel for each frame and bin


def test_evaluation_ends_by_naming_its_gallery(folder, capsys):
    evaluate_in(folder, "all")  # nothing to compute any more
    last = capsys.readouterr().out.splitlines()[-1]
    page = folder / "all" / "gallery" / "index.html"
    assert last == f"Gallery, to be opened in a browser: {page}"
    text = page.read_text()
    for clip in (folder / "all" / "samples").iterdir():
        assert clip.name in text
    evaluate_in(folder, "unheard", "--methods=[All-ones]", "--listen=0")
    assert capsys.readouterr().out.splitlines()[-1].startswith("No gallery: --listen=0")
    assert not (folder / "unheard" / "gallery").exists()


def test_wavs_share_one_gain_and_never_clip(tmp_path):
    waves = {"input": torch.tensor([0.5, -1.0]), "explanation": torch.tensor([2.0, 0.1])}
    gain = write_wavs(waves, tmp_path, 16000)
    for name, wav in waves.items():
        written, _ = soundfile.read(tmp_path / f"{name}.wav")
        assert written == pytest.approx((gain * wav).tolist(), abs=1e-4)
    assert gain == pytest.approx(0.475)
    # The input is as loud beside every method that keeps its peaks low.
    for loudest in (0.1, 1.3):
        waves["explanation"] = torch.tensor([loudest, 0.1])
        assert write_wavs(waves, tmp_path, 16000) == pytest.approx(0.7)
    assert write_wavs({"a": torch.zeros(4)}, tmp_path, 16000) == 1


def test_sounds_of_a_clip_share_one_gain_whoever_comes_later(tmp_path):
    """The second method is louder than fits, the third is quiet."""
    shared = {"input": torch.tensor([0.5, -1.0]), "target": torch.tensor([0.25, -0.5])}
    own = {"A": torch.tensor([0.2, 0.1]), "B": torch.tensor([-3.0, 0.1]), "C": torch.zeros(2)}
    read = {}
    for method, wav in own.items():
        add_wavs(shared, {f"{method}/removed": wav}, tmp_path, 16000)
        read[method] = {
            str(p.relative_to(tmp_path)): soundfile.read(p)[0] for p in tmp_path.rglob("*.wav")
        }
    assert sorted(read["A"]) == ["A/removed.wav", "input.wav", "target.wav"]
    for method, gain in {"A": 0.95, "B": 0.95 / 3, "C": 0.95 / 3}.items():
        waves = read[method]
        assert waves["input.wav"] == pytest.approx([0.5 * gain, -gain], abs=1e-6)
        assert waves["target.wav"] == pytest.approx([0.25 * gain, -0.5 * gain], abs=1e-6)
        assert waves["A/removed.wav"] == pytest.approx([0.2 * gain, 0.1 * gain], abs=1e-6)
    assert read["C"]["B/removed.wav"] == pytest.approx([-0.95, 0.95 / 30], abs=1e-6)


def without_time(rows):
    """Nor its checksum, which covers the time."""
    return rows.drop(columns=["s/clip", CHECK]).sort_values(["method", "ID"]).reset_index(drop=True)


def test_a_killed_evaluation_loses_nothing(folder):
    """Cut in the middle of a line, in the middle of a batch."""
    whole = pd.read_csv(folder / "all" / "metrics.csv")
    shutil.copytree(folder / "all", folder / "killed")
    path = folder / "killed" / "metrics.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:30]) + lines[30][:25])
    rows, _ = evaluate_in(folder, "killed")
    pd.testing.assert_frame_equal(without_time(rows), without_time(whole))
    # What was written before is kept as it was, with its time and checksum.
    kept = {line.split(",")[-1].strip() for line in lines[1:30]}
    assert kept <= set(rows[CHECK])


def test_a_method_added_later_is_the_only_one_computed(folder, monkeypatch):
    evaluate_in(folder, "later", "--methods=[All-ones]")

    def fail(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(AllOnes, "explain", fail)
    rows, summary = evaluate_in(folder, "later", "--methods=[All-ones,Random]")
    assert sorted(summary["method"]) == ["All-ones", "Random"] and len(rows) == 40
    # And whether a method runs first or last changes none of its numbers.
    whole = pd.read_csv(folder / "all" / "metrics.csv")
    pick = [without_time(r[r["method"] == "Random"]) for r in (rows, whole)]
    pd.testing.assert_frame_equal(*pick)


def test_a_changed_decoder_is_computed_again_and_a_changed_classifier_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "r")
    copy = tmp_path / "r"
    path = copy / "lmac" / "best" / "decoder.ckpt"
    state = torch.load(path, weights_only=True)
    state["head.bias"] += 2
    torch.save(state, path)
    with pytest.raises(Damaged, match="decoder.ckpt is damaged or was changed: .*delete its line"):
        evaluate_in(copy, "all")
    forget_sum(path)
    rows, _ = evaluate_in(copy, "all")
    before = pd.read_csv(folder / "all" / "metrics.csv")
    mean = [r[r["method"] == "L-MAC"]["MM"].mean() for r in (before, rows)]
    assert mean[1] > mean[0] + 0.05 and len(rows) == 100

    path = copy / "classifier" / "best" / "classifier.ckpt"
    state = torch.load(path, weights_only=True)
    state["bias"] += 1
    torch.save(state, path)
    forget_sum(path)
    with pytest.raises(ValueError, match="rows of another classifier .*another --output_folder"):
        evaluate_in(copy, "all", "--methods=[Saliency]")
    with pytest.raises(ValueError, match="lmac_checkpoint: .*decoder.ckpt was trained for class"):
        evaluate_in(copy, "all", "--methods=[L-MAC]")


def test_plain_clips_and_the_unbiased_fold(folder):
    rows, _ = evaluate_in(
        folder, "plain", "--scenario=plain", "--target_folds=[5]", "--methods=[All-ones]"
    )
    assert len(rows) == 10 and rows["ID"].str.startswith("5-").all()
    assert "not used to select any checkpoint" in (folder / "plain" / "table.md").read_text()


def resynthesise_in(folder, name, *overrides):
    run(resynthesis, "evaluation", folder, f"--output_folder={folder}/{name}",
        f"--classifier_checkpoint={folder}/classifier/best", "--n_boot=50",
        *overrides)  # fmt: skip
    return pd.read_csv(folder / name / "resynthesis.csv")


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """A classifier that decides differently from clip to clip, with confidence."""
    folder = tmp_path_factory.mktemp("decided")
    train_classifier_in(folder, "--number_of_epochs=15", "--lr=0.01")
    return folder


@pytest.mark.parametrize("signal_path", ["direct", "waveform"])
def test_written_explanations_are_classified_again(decided, signal_path):
    folder, name = decided, f"resynthesis_{signal_path}"
    overrides = [f"--signal_path={signal_path}"]
    scored, _ = evaluate_in(folder, name, "--methods=[All-ones,GradCAM]", *overrides)
    rows = resynthesise_in(folder, name, *overrides)
    assert len(rows) == 4 and list(rows["method"].unique()) == ["GradCAM", "All-ones"]
    scored = scored.set_index(["method", "ID"])
    pick = scored.loc[list(zip(rows["method"], rows["ID"], strict=True))]
    assert rows["p_in"].to_list() == pytest.approx(pick["p_in"].to_list(), abs=1e-9)
    assert rows["Fid-In"].to_list() == pick["Fid-In"].to_list()
    # On the waveform path the file was scored, up to gain and 24 bits; so was a mask of ones.
    exact = rows if signal_path == "waveform" else rows[rows["method"] == "All-ones"]
    assert exact["deviation of p_in"].max() < 0.05

    # By hand: the file, read by another library, through the network itself.
    embedding_model = Cnn14(width=4)
    head = LinearHead(embedding_model.emb_dim, 10)
    network = AudioClassifier(embedding_model, head).eval()
    front_end = FrontEnd()
    for part in ("embedding_model", "classifier"):
        state = torch.load(folder / "classifier" / "best" / f"{part}.ckpt", weights_only=True)
        getattr(network, part).load_state_dict(state)
    encoder = CategoricalEncoder()
    encoder.load(folder / "classifier" / "best" / "label_encoder.txt")
    labels = [encoder.ind2lab[i] for i in range(10)]
    for row in rows.to_dict("records"):
        path = folder / name / "samples" / row["ID"] / row["method"] / "explanation.wav"
        wav, _ = soundfile.read(path, dtype="float32")
        wav /= abs(soundfile.read(path.parents[1] / "input.wav")[0]).max()  # its peak was 1
        features = front_end.log_mel(front_end(torch.tensor(wav)[None]).abs())
        with torch.no_grad():
            probs = network(features)[0].softmax(1)[0]
        assert row["decision (WAV)"] == labels[int(probs.argmax())]
        assert row["Fid-In (WAV)"] == (row["decision (WAV)"] == row["decision"])
        assert row["as the table says"] == (row["Fid-In (WAV)"] == row["Fid-In"])
        p = float(probs[labels.index(row["decision"])])
        assert row["p_in (WAV)"] == pytest.approx(p, abs=1e-4)
    text = (folder / name / "resynthesis.md").read_text()
    assert "| All-ones | 2 | 1.000" in text and "2 clips have audio" in text

    # A file that is not what was scored is found out.
    first = rows[rows["method"] == "All-ones"].iloc[0]
    other = rows["ID"][rows["ID"] != first["ID"]].iloc[0]
    samples = folder / name / "samples"
    tone = 0.5 * torch.sin(torch.arange(16000) * 0.17).numpy()
    soundfile.write(samples / first["ID"] / "All-ones" / "explanation.wav", tone, 16000)
    again = resynthesise_in(folder, name, *overrides).set_index(["method", "ID"])
    assert again.loc[("All-ones", first["ID"]), "deviation of p_in"] > 0.1
    assert again.loc[("All-ones", other), "deviation of p_in"] < 0.05


def test_explanations_of_other_settings_or_without_sound_are_not_heard_again(folder):
    with pytest.raises(ValueError, match="computed with domain 'stft', not with 'stft, waveform"):
        resynthesise_in(folder, "all", "--signal_path=waveform")
    evaluate_in(folder, "no_sound", "--domain=mel", "--methods=[All-ones]")
    with pytest.raises(ValueError, match="has no explanation.wav: evaluate in a domain that can"):
        resynthesise_in(folder, "no_sound", "--domain=mel")
    with pytest.raises(FileNotFoundError, match="give the --output_folder of an eval_expl"):
        resynthesise_in(folder, "nowhere")


@pytest.mark.parametrize(
    "overrides,message",
    [
        (["--methods=[Salience]"], "there is no method Salience, did you mean Saliency"),
        (["--classifier_width=8"], "classifier/best was trained with classifier_width 4"),
        (["--classifier_checkpoint=null"], "classifier_checkpoint is not set: add --classifier_ch"),
        (["--signal_path=loud"], "--signal_path=loud: expected one of direct, waveform"),
        (["--classifier_checkpoint=nowhere"], "classifier_checkpoint: no folder nowhere"),
        (["--lmac_checkpoint=nowhere"], "lmac_checkpoint: there is no nowhere"),
        (["--decoder_hidden=4"], "lmac/best was trained with decoder_hidden 8"),
        (["--scenario=rain"], "--scenario=rain: expected one of plain, id, noise, mixt"),
        (["--domain=cqt"], "--domain=cqt: expected one of stft, mel"),
        (["--target_folds=[9]"], "target_folds: fold .9. has no clips"),
        (["--out_n_neurons=3"], r"weight has shape .10, 128. instead of .3, 128."),
        (["--mehtods=[Random]"], "Unknown override --mehtods.*methods"),
        (["--dataset_yaml=hparams/datasets/esc50.yaml"], "Unknown override --clips_per_class"),
    ],
)
def test_mistakes_get_one_sentence(folder, overrides, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        evaluate_in(folder, "mistake", *overrides)
    assert "\n" not in str(error.value)


def test_an_audit_shows_explanations_to_a_classifier_of_another_seed(folder, capsys):
    """Its rows agree with the evaluation's, its columns are in the table, and it is kept."""
    train_classifier_in(folder, "--seed=5", f"--output_folder={folder}/other")
    before = pd.read_csv(folder / "all" / "metrics.csv").set_index(["method", "ID"])

    def audit_in(*overrides):
        run(audit, "evaluation", folder, f"--output_folder={folder}/all", "--decoder_hidden=8",
            f"--classifier_checkpoint={folder}/classifier/best", "--n_boot=20", "--batch_size=4",
            f"--lmac_checkpoint={folder}/lmac/best", "--methods=[L-MAC,GradCAM,All-ones]",
            f"--transfer_classifiers=[{folder}/other/best]", *overrides)  # fmt: skip
        return [pd.read_csv(folder / "all" / f"{name}.csv") for name in ("audit", "audit_clips")]

    summary, rows = audit_in("--audit_clips=5")
    name = "CNN14 width 4, seed 5"
    assert list(summary["method"]) == ["L-MAC", "GradCAM", "All-ones"]
    assert set(rows["network"]) == {"own", name} and rows["ID"].nunique() == 5
    own = rows[rows["network"] == "own"].set_index(["method", "ID"])
    for metric in ("p", "Fid-In", "MM"):
        there = before.loc[own.index, metric]
        assert own[metric].to_list() == pytest.approx(there.to_list(), abs=1e-6), metric
    assert own["p in"].to_list() == pytest.approx(before.loc[own.index, "p_in"].to_list(), abs=1e-6)
    table = (folder / "all" / "table.md").read_text()
    assert f"Fid-In ({name})" in table and "insertion" in table and "(audit.md)" in table
    assert f"## To {name}" in capsys.readouterr().out
    assert (folder / "all" / "audit.png").is_file()
    # The whole scenario are other clips, so all is computed again; then nothing is.
    _, rows = audit_in()
    assert rows["ID"].nunique() > 5
    made = (folder / "all" / "audit_clips.csv").read_bytes()
    audit_in()
    assert (folder / "all" / "audit_clips.csv").read_bytes() == made
