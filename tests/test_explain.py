"""explain.py, end to end on a classifier and a decoder with random weights."""

import json
import re
import shutil

import matplotlib.image
import pytest
import soundfile
import torch
from conftest import make_explained
from speechbrain.dataio.encoder import CategoricalEncoder

import explain
from lmac.checkpoints import build_decoder, count_labels, read_labels
from lmac.core.decoder import TopDownDecoder
from lmac.explain.explainer import Explainer
from lmac.pages.app import make_app
from lmac.settings.load import load

LABELS = ["dog", "rooster", "rain", "sea_waves", "clock_tick"]
END = "================\n'starting_index' => 0\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """classifier/, lmac/ (weights) and sound.flac: 3 s, stereo, 44.1 kHz."""
    folder = tmp_path_factory.mktemp("explain")
    explained = make_explained()
    torch.manual_seed(1)
    decoder = build_decoder(
        lambda c, n: TopDownDecoder(c, n, hidden=8, conditioned=True), explained
    )
    for name in ("classifier", "lmac"):
        (folder / name).mkdir()
    for part in ("embedding_model", "classifier"):
        state = getattr(explained.classifier, part).state_dict()
        torch.save(state, folder / "classifier" / f"{part}.ckpt")
    torch.save(decoder.state_dict(), folder / "lmac" / "decoder.ckpt")
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(LABELS, sequence_input=False)
    encoder.save(folder / "classifier" / "label_encoder.txt")
    sound = 0.1 * torch.randn(3 * 44100, 2) * torch.linspace(0, 9, 3 * 44100).sin()[:, None]
    soundfile.write(folder / "sound.flac", sound.numpy(), 44100)
    return folder


def settings(folder):
    return {
        "results_folder": str(folder / "results"),
        "classifier_checkpoint": str(folder / "classifier"),
        "lmac_checkpoint": str(folder / "lmac"),
        "classifier_width": 4,
        "decoder_hidden": 8,
        "decoder_conditioned": True,
        "window_s": 1.0,
        "overlap_s": 0.25,
        "audio": str(folder / "sound.flac"),
    }


def explain_with(folder, *overrides):
    given = [f"--{key}={value}" for key, value in settings(folder).items()]
    explain.main(["hparams/explain.yaml", "--device=cpu", *given, *overrides])
    return folder / "results" / "explanations" / "sound.flac"


def test_one_command(folder, capsys):
    out = explain_with(folder, "--methods=[L-MAC,Saliency]")
    printed = capsys.readouterr().out
    for method in ("L-MAC", "Saliency"):
        content = json.loads((out / method / "explanation.json").read_text())
        assert content["decision"] in LABELS and len(content["top_classes"]) == 5
        assert len(content["windows"]) == 4 and content["method"] == method
        for name in ("input", "explanation", "removed"):
            info = soundfile.info(out / method / f"{name}.wav")
            assert (info.frames, info.samplerate) == (48000, 16000)
        assert (out / method / "explanation.png").stat().st_size > 10000
        assert str(out / method) in printed
        explained = content["explained_class"] or "each window's decision"
        assert f"{method} for {explained}: the " in printed
        for name in ("p", "p_in", "p_out"):
            assert f"{name} = {content[name]:.3f} for" in printed
    # The file's own decision and five classes, with the probabilities of the file.
    (best, p), *others = [(c["class"], c["p"]) for c in content["top_classes"]]
    told = ", ".join(f"{name} {value:.3f}" for name, value in others)
    assert f"sound.flac (3.0 s): {best}, p = {p:.3f}; then {told}" in printed
    for name in ("index.html", "spectrogram.png", "timeline.png"):
        assert (out / name).is_file()
    assert f"Page to open: {out / 'index.html'}" in printed


def test_a_few_lines_of_python_do_the_same(folder):
    out = explain_with(folder, "--target_class=clock_tick")
    explainer = Explainer.from_hparams("hparams/explain.yaml", overrides=settings(folder))
    result = explainer(folder / "sound.flac", target_class="clock_tick")
    out = out / "L-MAC, asked clock_tick"
    content = json.loads((out / "explanation.json").read_text())
    assert content["explained_class"] == result.explained_class == "clock_tick"
    for key in ("p", "p_in", "p_out", "p_in_audio"):
        assert content[key] == pytest.approx(getattr(result, key), rel=1e-9), key
    written, _ = soundfile.read(out / "explanation.wav", dtype="float32")
    gain = content["gain"] / result.gain
    torch.testing.assert_close(torch.from_numpy(written), gain * result.explanation, rtol=0,
                               atol=1e-4)  # fmt: skip


def test_the_number_of_classes_comes_from_the_label_encoder(folder):
    hparams, _ = load("hparams/explain.yaml", settings(folder))
    assert hparams["out_n_neurons"] == 5 and hparams["classifier"].out_features == 5
    assert read_labels(folder / "classifier") == LABELS


@pytest.mark.parametrize("recipe", ["ESC10", "demo"])
def test_recipes(folder, recipe):
    keys = ("classifier_checkpoint", "lmac_checkpoint", "classifier_width")
    keys += ("decoder_hidden", "decoder_conditioned")
    overrides = {k: settings(folder)[k] for k in keys}
    explainer = Explainer.from_hparams(f"recipes/{recipe}/recipe.yaml:explain", overrides)
    assert explainer.window == {"ESC10": 80000, "demo": 40000}[recipe]


@pytest.mark.parametrize(
    "overrides,message",
    [
        (["--audio=null"], "audio is not set: give the file to explain"),
        (["--audio=nowhere.wav"], "nowhere.wav does not exist"),
        (["--target_class=cat"], "unknown class 'cat'; expected one of dog, rooster, rain"),
        (["--methods=[Salience]"], "there is no method Salience, did you mean Saliency"),
        (["--methods=Salience"], "there is no method Salience, did you mean Saliency"),
        (["--lmac_checkpoint=null"], "lmac_checkpoint is not set"),
        (["--classifier_checkpoint=nowhere"], "there is no nowhere/label_encoder.txt"),
        (["--classifier_width=8"], "checkpoint of another architecture"),
        (["--out_n_neurons=3"], "checkpoint of another architecture.*3"),
        (["--overlap_s=0.9"], "overlap_s is 0.9 s: expected 0 to half of window_s, 0.5 s"),
        (["--widnow_s=1"], "Unknown override --widnow_s.*window_s"),
    ],
)
def test_mistakes_get_one_sentence(folder, overrides, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        explain_with(folder, *overrides)
    assert "\n" not in str(error.value)


def test_label_encoders_that_cannot_be_used(folder, tmp_path):
    path = tmp_path / "label_encoder.txt"
    for text, message in [
        ("dog\nrain\n", "is not a SpeechBrain label encoder"),
        ("'dog' => 0\n'rain' => 1\n", "is not a SpeechBrain label encoder"),
        ("'dog' => 1\n'rain' => 2\n" + END, "must number its classes 0, 1, 2"),
        (END, "must number its classes"),
    ]:
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            count_labels(tmp_path)
    shutil.copytree(folder / "classifier", tmp_path / "classifier")
    with (tmp_path / "classifier" / "label_encoder.txt").open("w") as file:
        file.write("'dog' => 0\n'rain' => 1\n" + END)
    with pytest.raises(ValueError, match="another architecture"):
        explain_with(folder, f"--classifier_checkpoint={tmp_path / 'classifier'}")
    with pytest.raises(ValueError, match="names 2 classes, but the classifier has 5"):
        explain_with(folder, f"--classifier_checkpoint={tmp_path / 'classifier'}",
                     "--out_n_neurons=5")  # fmt: skip


def test_several_classes_and_one_analysis(folder, monkeypatch):
    """A mask and a sound for every method and class, of a recording that is read once."""
    reads = []
    read = Explainer.read
    monkeypatch.setattr(Explainer, "read", lambda self, p: reads.append(p) or read(self, p))
    out = explain_with(folder, "--methods=[L-MAC,GradCAM]", "--target_class=[rain,dog]")
    assert len(reads) == 1
    masks = {}
    for method in ("L-MAC", "GradCAM"):
        for asked in ("rain", "dog"):
            part = out / f"{method}, asked {asked}"
            content = json.loads((part / "explanation.json").read_text())
            assert content["asked_class"] == content["explained_class"] == asked
            masks[method, asked], _ = soundfile.read(part / "explanation.wav")
    assert (masks["L-MAC", "rain"] != masks["L-MAC", "dog"]).any()
    for method in ("L-MAC", "GradCAM"):  # three panels of the input's width: not a bare frame
        picture = matplotlib.image.imread(out / f"{method}, 2 classes.png")
        assert picture.shape[1] == 800 and picture.shape[0] > 600 and picture.std() > 0.1
    # What one command gives for one class is what it gives for several.
    explain_with(folder, "--target_class=dog", f"--output_folder={folder / 'alone'}")
    part = folder / "alone" / "sound.flac" / "L-MAC, asked dog"
    alone, _ = soundfile.read(part / "explanation.wav")
    assert (alone == masks["L-MAC", "dog"]).all()


def test_a_class_is_refused_before_anything_is_read(folder, monkeypatch):
    monkeypatch.setattr(Explainer, "read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ValueError, match="unknown class 'cat'"):
        explain_with(folder, "--methods=[L-MAC,GradCAM]", "--target_class=[dog,cat]")
    with pytest.raises(ValueError, match="this L-MAC explains the classifier's own decision only"):
        given = settings(folder) | {"decoder_conditioned": False, "lmac_checkpoint": plain(folder)}
        explain.main(["hparams/explain.yaml", *(f"--{k}={v}" for k, v in given.items()),
                      "--device=cpu", "--target_class=[dog]"])  # fmt: skip


def plain(folder):
    """Weights of a decoder that cannot be asked."""
    (folder / "plain").mkdir(exist_ok=True)
    decoder = build_decoder(lambda c, n: TopDownDecoder(c, n, hidden=8), make_explained())
    torch.save(decoder.state_dict(), folder / "plain" / "decoder.ckpt")
    return str(folder / "plain")


def test_the_app_takes_the_same_command_line(folder, tmp_path, capsys):
    given = [f"--{k}={v}" for k, v in settings(folder).items() if k != "audio"]
    argv = ["hparams/explain.yaml", "--device=cpu", *given, "--port=0", "--max_seconds=7"]
    examples = f"--examples={folder}"
    with make_app([*argv, "--methods=GradCAM", examples], ("127.0.0.1", 0), tmp_path) as app:
        assert app.queue.methods["L-MAC"] and app.queue.methods["GradCAM"]
        assert "L2I" not in app.queue.methods and "Oracle" not in app.queue.methods
        assert app.queue.limits.seconds == 7 and app.queue.limits.keep_s == 3600
        assert list(app.examples.values()) == [folder / "sound.flac"]
        text = app.page.read_text(encoding="utf-8")
    (told,) = re.findall(r'<script id="app" type="application/json">(.*?)</script>', text)
    chosen = [method["name"] for method in json.loads(told)["methods"] if method["chosen"]]
    assert chosen == ["GradCAM"] and json.loads(told)["labels"] == LABELS
    assert "Without L2I: l2i_checkpoint is not set" in capsys.readouterr().out
    for words, message in [
        (["--methods=[L2I]"], "l2i_checkpoint is not set"),
        (["--widnow_s=1"], "Unknown override --widnow_s.*window_s"),
        (["--port=x"], "--port: expected a whole number"),
        ([f"--examples={tmp_path / 'nowhere'}"], "expected a folder with .wav"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
            make_app([*argv, *words], ("127.0.0.1", 0), tmp_path)
        assert "\n" not in str(error.value)
