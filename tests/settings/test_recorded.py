"""What the folder of a checkpoint knows is taken from it, and nothing else is taken for granted."""

import json
import os
from pathlib import Path

import pytest

import eval_explanations
import explain
import lmac
import train_classifier
import train_lmac
from lmac.settings.compose import HPARAMS, merge
from lmac.settings.load import ConfigError, load, settings

TINY = ["--dataset_yaml=hparams/datasets/builtin.yaml", "--clips_per_class=5", "--device=cpu",
        "--signal_length_s=1.0", "--batch_size=10", "--number_of_epochs=1"]  # fmt: skip
RATE = 22050


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Conv2d of another width, rate and FFT, and an encoder's decoder of it: said once each."""
    folder = tmp_path_factory.mktemp("recorded")
    own = ["--classifier_yaml=hparams/classifiers/conv2d.yaml", "--classifier_width=4",
           f"--sample_rate={RATE}"]  # fmt: skip
    train_classifier.main(["hparams/classifier.yaml", *own, *TINY, f"--results_folder={folder}",
                           f"--output_folder={folder}/classifier"])  # fmt: skip
    train_lmac.main(
        ["hparams/lmac.yaml", *TINY, f"--classifier_checkpoint={folder}/classifier/best",
         f"--results_folder={folder}", f"--output_folder={folder}/lmac", "--decoder_hidden=8",
         "--decoder_yaml=hparams/decoders/encoder.yaml"]
    )  # fmt: skip
    return folder


def given(folder, **more):
    return {"classifier_checkpoint": f"{folder}/classifier/best",
            "lmac_checkpoint": f"{folder}/lmac/best", **more}  # fmt: skip


def test_info_records_the_classifier_and_the_front_end(folder):
    for part in ("classifier", "lmac"):
        info = json.loads((folder / part / "best" / "info.json").read_text())
        assert info["settings"] == {
            "classifier_yaml": "classifiers/conv2d.yaml",
            "embedding_model": "lmac.classifiers.Conv2dEncoder",
            "classifier": "lmac.classifiers.LinearHead",
            "classifier_width": 4, "emb_dim": 4, "sample_rate": RATE, "n_fft": 1024, "n_mels": 80,
            "win_length": 23.2199, "hop_length": 11.6099,
        }  # fmt: skip
    assert info["front_end"] == {
        "sample_rate": RATE, "n_fft": 1024, "window": 512, "hop": 256, "n_mels": 80,
    }  # fmt: skip


def test_it_need_not_be_said_again(folder, capsys):
    """explain.py and eval_explanations.py by the two folders alone."""
    words = [f"--{key}={value}" for key, value in given(folder).items()]
    sound = next((folder / "builtin_sounds" / "audio").glob("*.wav"))
    explain.main(["hparams/explain.yaml", *words, f"--audio={sound}",
                  f"--output_folder={folder}/explanations", "--device=cpu"])  # fmt: skip
    made = json.loads(next(folder.glob("explanations/*/L-MAC/explanation.json")).read_text())
    assert made["sample_rate"] == RATE and made["method"] == "L-MAC"
    eval_explanations.main(
        ["hparams/evaluation.yaml", *words, *TINY[:4], "--scenario=plain", "--methods=[L-MAC]",
         f"--results_folder={folder}", "--listen=0", "--n_boot=10",
         f"--output_folder={folder}/evaluation"]
    )  # fmt: skip
    assert "Conv2d width 4" in (folder / "evaluation" / "table.md").read_text()


def test_what_is_taken(folder):
    found = settings("hparams/explain.yaml", given(folder))
    want = {"classifier_width": 4, "sample_rate": RATE, "n_fft": 1024, "decoder_hidden": 8,
            "domain": "stft"}  # fmt: skip
    assert {key: found[key] for key in want} == want
    hparams, _ = load("hparams/explain.yaml", given(folder))
    assert hparams["decoder"].func.__name__ == "EncoderDecoder"
    assert type(hparams["embedding_model"]).__name__ == "Conv2dEncoder"
    # Said once more, it is no contradiction.
    again = {"classifier_width": 4, "classifier_yaml": "hparams/classifiers/conv2d.yaml",
             "decoder_hidden": 8, "domain": "stft"}  # fmt: skip
    repeated = settings("hparams/explain.yaml", given(folder, **again))
    assert {key: repeated[key] for key in found if key != "interpreters"} == {
        key: value for key, value in found.items() if key != "interpreters"
    }


@pytest.mark.parametrize("more,message", [
    ({"classifier_width": 8}, "--classifier_width=8: .*classifier/best was trained with classifi"),
    ({"sample_rate": 48000}, "--sample_rate=48000: .* was trained with sample_rate 22050"),
    ({"n_fft": 2048}, "--n_fft=2048: .* was trained with n_fft 1024"),
    ({"decoder_hidden": 32}, "--decoder_hidden=32: .*lmac/best was trained with decoder_hidden 8"),
    ({"classifier_yaml": "hparams/classifiers/cnn14.yaml"},
     "classifier_yaml is .*cnn14.yaml: .* was trained with classifiers/conv2d.yaml"),
])  # fmt: skip
def test_contradictions_are_refused_by_name(folder, more, message):
    with pytest.raises(ConfigError, match=message) as error:
        settings("hparams/explain.yaml", given(folder, **more))
    assert "\n" not in str(error.value)


def test_a_decoder_of_another_domain_is_refused_where_it_is_used(folder):
    """Methods without a decoder may still be asked for in that domain."""
    assert settings("hparams/explain.yaml", given(folder, domain="mel"))["domain"] == "mel"
    weights = Path("recipes/ESC50/weights")
    explainer = lmac.Explainer.load(
        weights / "classifier" / "best",
        lmac_checkpoint=str(weights / "lmac_stft" / "best"), domain="mel",
    )  # fmt: skip
    explainer.check("Saliency")
    with pytest.raises(ValueError, match="was trained for domain stft, not for mel"):
        explainer.check("L-MAC")


def test_those_of_a_recipe_are_refused_by_its_name(folder, tmp_path):
    root = Path("hparams").resolve()
    (tmp_path / "mine.yaml").write_text(f"extends: {root}/explain.yaml\nn_mels: 40\n")
    with pytest.raises(ConfigError, match="mine.yaml: n_mels is 40: .* trained with n_mels 80"):
        settings(tmp_path / "mine.yaml", given(folder))


def changed(folder, tmp_path, change):
    """A folder with another ``info.json``, which has no checksum."""
    info = json.loads((folder / "classifier" / "best" / "info.json").read_text())
    change(info)
    (tmp_path / "info.json").write_text(json.dumps(info))
    return {"classifier_checkpoint": str(tmp_path)}


def test_a_classifier_of_another_yaml_is_named(folder, tmp_path):
    def mine(info):
        info["settings"] |= {"classifier_yaml": "mine.yaml", "embedding_model": "mine.Network"}

    with pytest.raises(ConfigError, match=r"trained with mine.yaml \(mine.Network\): give that"):
        settings("hparams/explain.yaml", changed(folder, tmp_path, mine))


@pytest.mark.parametrize("value", ["!apply:os.getcwd []", "x <seed>", {"a": 1}, None])
def test_text_is_never_taken(folder, tmp_path, value):
    """Weights run no code, whatever their info.json says."""

    def bad(info):
        info["settings"] |= {"classifier_width": value, "results_folder": value}

    found = settings("hparams/explain.yaml", changed(folder, tmp_path, bad))
    assert found["classifier_width"] == 256 and found["results_folder"] == "results"


@pytest.mark.parametrize("relative", [True, False])
def test_no_file_outside_hparams_is_taken(folder, tmp_path, relative):
    """YAML files are code, and a folder of weights must run none."""
    evil = tmp_path / "evil.yaml"
    evil.write_text("embedding_model: !apply:os.abort []\nclassifier: null\n")
    name = os.path.relpath(evil, HPARAMS) if relative else str(evil)
    assert (HPARAMS / name).is_file()

    def change(info):
        info["settings"] = {"classifier_yaml": name}

    tree = merge("hparams/explain.yaml", changed(folder, tmp_path, change))
    assert Path(tree["classifier_yaml"]).resolve() == HPARAMS / "classifiers" / "cnn14.yaml"


def test_weights_that_know_nothing_are_as_before(folder, tmp_path):
    found = settings("hparams/explain.yaml", changed(folder, tmp_path, lambda i: i.pop("settings")))
    assert found["classifier_width"] == 64 and found["sample_rate"] == 16000


def test_the_committed_weights_work_from_any_folder(tmp_path, monkeypatch):
    recipe = Path("recipes/ESC50/pretrained.yaml").resolve()
    monkeypatch.chdir(tmp_path)
    found = settings(recipe)
    assert (Path(found["classifier_checkpoint"]) / "info.json").is_file()
    hparams, _ = load(recipe)
    assert hparams["out_n_neurons"] == 50
    # And without the recipe, by their folders.
    weights = recipe.parent / "weights"
    alone, _ = load("hparams/explain.yaml", {
        "classifier_checkpoint": str(weights / "classifier" / "best"),
        "lmac_checkpoint": str(weights / "lmac_stft" / "best"),
    })  # fmt: skip
    assert (alone["classifier_width"], alone["decoder_conditioned"]) == (16, True)
