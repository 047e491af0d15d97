"""Every YAML in recipes/ does what it is for: one epoch, one evaluation or one explanation.

The files are found, not listed, and run in the order in which they need each other: a setting
that names weights (…/best) must name those that another YAML of the same folder leaves.
"""

import importlib
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import soundfile
import torch
from conftest import forget_sum
from layouts import recipe_stages, sound, write_both, write_esc50, write_sound, write_urbansound8k
from pretrained import efficientat_weights, text_folder

from lmac.evaluation.runs.repeats import runner_of
from lmac.settings import load as config
from lmac.settings.compose import stage_beside
from lmac.settings.load import merge, settings

RECIPES = [path for path in recipe_stages() if path.stem != "pretrained"]  # which has weights
# Only keys that a YAML has are given to it.
TINY = {
    "classifier_width": 2,
    "decoder_hidden": 4,
    "l2i_hidden": 4,
    "n_components": 3,
    "nmf_max_epochs": 1,
    "number_of_epochs": 1,
    "batch_size": 6,
    "signal_length_s": 0.5,
    "window_s": 0.5,
    "overlap_s": 0.1,
    "clips_per_class": 5,
    "out_n_neurons": 3,
    "last_contaminants": 2,
    "listen": 0,
    "n_boot": 5,
    "smoothgrad_samples": 2,
    "ig_steps": 2,
    "shap_samples": 2,
}
# By the module that prepares a data set: what its fixture changes. None: it makes itself.
DATASETS = {
    "data_prep.esc50": write_esc50,
    "data_prep.urbansound8k": write_urbansound8k,
    "data_prep.esc10_urbansound8k": write_both,
    "data_prep.builtin_sounds": None,
    "data_prep.planted_cues": None,
}
# Of the fixtures of zero-shot recipes, whose classes have prompts.
ESC10 = ("class0", "class1", "class10")
BOTH = (*ESC10, "air_conditioner", "car_horn", "children_playing")
CONTAMINANTS = {"id": "wham_noise/tt", "noise": "wham_noise/tt", "speech": "LJSpeech-1.1/wavs"}


def tag_of(node):
    return getattr(getattr(node, "tag", None), "value", None) or ""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Runs recipes on tiny data, each once."""
    return Bench(tmp_path_factory.mktemp("recipes"))


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.done = {}
        for name in ("wham_noise/tr", "wham_noise/tt", "LJSpeech-1.1/wavs"):
            for i in range(3):
                write_sound(folder / name / f"{i}.wav", 0.7, rate=22050, seed=i)
        soundfile.write(folder / "sound.flac", sound(1.2, 44100, 2), 44100)

    def data(self, tree):
        """The folder of the data set that ``tree`` names, or None where it makes its own."""
        module = tag_of(tree["prepare_data"]).removeprefix("!name:").rpartition(".")[0]
        assert module in DATASETS, f"no fixture of {module}: add one to {__file__}"
        if DATASETS[module] is None:
            return None
        if not (self.folder / module).exists():
            DATASETS[module](self.folder / module, seconds=0.6)
        return self.folder / module

    def overrides(self, path, domain, noise=False):
        """``noise``: trained in ambient noise, with results of its own, as scenario id needs."""
        tree = merge(path)
        own = {key: value for key, value in TINY.items() if key in tree}
        if tree.get("freeze_embedding"):
            own.pop("classifier_width", None)  # that of the pretrained weights
        own["results_folder"] = str(self.folder / (path.parent.name + "_in_noise" * noise))
        if "domain" in tree:
            own["domain"] = domain or tree["domain"]
        if "audio" in tree:
            own["audio"] = str(self.folder / "sound.flac")
            del own["out_n_neurons"]  # counted in the classifier's folder
        else:
            data = self.data(tree)
            if data is None:
                del own["out_n_neurons"]
            else:
                own["data_folder"] = str(data)
        if "classifier_weights" in tree:
            own["classifier_weights"] = str(self.folder / "efficientat.pt")
            torch.save(efficientat_weights(tree["classifier_width"]), own["classifier_weights"])
        if "background_folder" in tree:
            own["background_folder"] = str(self.folder / "backgrounds")
            own |= {"signal_length_s": 1.0, "clips_per_class": 2}
            if not (self.folder / "backgrounds").exists():
                write_esc50(self.folder / "backgrounds", seconds=0.6)
        if "prompts" in tree:
            own |= self.zero_shot(tree)
        if "noise_folder" in tree and (noise or tag_of(tree["noise_folder"]) == "!PLACEHOLDER"):
            own["noise_folder"] = str(self.folder / "wham_noise" / "tr")
        shared = re.fullmatch(
            r"results/(\w+)/classifier/best", str(tree.get("classifier_checkpoint"))
        )
        if shared:  # the classifier of another recipe
            own["classifier_checkpoint"] = str(self.folder / shared[1] / "classifier" / "best")
        if tree.get("transfer_classifiers"):
            own["transfer_classifiers"] = []  # of other recipes; tests/test_scripts.py has some
        if tree.get("scenario") in CONTAMINANTS:
            own["contaminant_folder"] = str(self.folder / CONTAMINANTS[tree["scenario"]])
        return own

    def zero_shot(self, tree):
        """Prompts for the classes of the fixture, and a small text model."""
        text_model = self.folder / "text_model"
        if not text_model.exists():
            text_folder(text_model)
        own = {"text_model": str(text_model), "joint_size": 12}
        names = BOTH if "esc50_subfolder" in tree else ESC10
        if "without_classes" in tree and tree["without_classes"]:
            own["without_classes"] = [ESC10[2], BOTH[5]]
            names = [name for name in names if name not in own["without_classes"]]
        if "held_out_classes" in tree:
            own["held_out_classes"] = [ESC10[2], BOTH[5]]
        if "out_n_neurons" in tree and "audio" not in tree:
            own["out_n_neurons"] = len(names)
        return own | {"prompts": {name: f"the sound of {name}" for name in names}}

    def run(self, path, domain=None, noise=False):
        """Run ``path`` after what it needs; its settings and output folder."""
        noise = noise or merge(path).get("scenario") == "id"
        key = (path, domain, noise)
        if key not in self.done:
            own = self.overrides(path, domain, noise)
            plain = settings(path, own)
            # Those of interpreters, too, which are no plain settings.
            text = config.dump(config.resolved(path, own))
            for weights in sorted(set(re.findall(r"\S+/best\b", text))):
                self.run(*self.maker(path, plain, weights, noise), noise)
            module = importlib.import_module(runner_of(path).module)
            if module.__name__ == "lmac.evaluation.runs.table":
                module = importlib.import_module("eval_explanations")  # which it starts
            words = [f"--{k}={v}" for k, v in own.items()]
            module.main([str(path), *words, "--device=cpu"])
            self.done[key] = SimpleNamespace(out=Path(plain["output_folder"]), **plain)
        return self.done[key]

    def maker(self, path, plain, weights, noise=False):
        """The YAML, beside ``path`` or of the recipe named, that leaves ``weights``; its domain."""
        domain = plain.get("domain")
        named = path.parent.name
        if Path(weights).is_relative_to(self.folder):
            named = Path(weights).relative_to(self.folder).parts[0].removesuffix("_in_noise")
        for other in (recipe for recipe in RECIPES if recipe.parent.name == named):
            if other != path and "number_of_epochs" in merge(other):
                made = settings(other, self.overrides(other, domain, noise))
                if Path(made["output_folder"]) / "best" == Path(weights):
                    return other, domain if "domain" in made else None
        pytest.fail(f"{path}: no YAML beside it writes {weights}")


@pytest.mark.parametrize("path", RECIPES, ids=str)
def test_every_recipe_runs(path, bench):
    done = bench.run(path)
    if "audio" in merge(path):
        result = json.loads(next(done.out.glob("sound.flac/*/explanation.json")).read_text())
        assert math.isfinite(result["p_in"])
    elif "scenario" in merge(path):
        summary = pd.read_csv(done.out / "summary.csv")
        assert set(summary["method"]) == set(done.methods) and (summary["n"] > 0).all()
        assert set(summary["scenario"]) == {done.scenario}
        assert summary[["FF", "MM"]].notna().all(axis=None)
    elif "held_out_classes" in merge(path):
        table = pd.read_csv(done.out / "held_out.csv")
        assert table["accuracy"].between(0, 100).all() and set(table["classes"]) == {2, 1, 6}
    else:
        assert_trained(done)


def assert_trained(done):
    """One epoch, with finite numbers."""
    log = (done.out / "train_log.txt").read_text()
    # Of the few clips here, none may have an absent class as its target.
    log = re.sub("valid (false_explanation|MM absent): nan", "", log)
    assert "train loss" in log and "nan" not in log.lower()
    assert list((done.out / "best").glob("*.ckpt"))


@pytest.mark.parametrize("scenario", ["noise", "mixtures", "white_noise", "speech"])
@pytest.mark.parametrize("domain", ["stft", "mel"])
def test_urbansound8k_in_both_domains_and_all_scenarios(bench, domain, scenario):
    path = Path("recipes/UrbanSound8K/recipe.yaml:evaluation")
    classifier, decoder = (bench.run(stage_beside(path, n), d) for n, d in
                           (("classifier", None), ("lmac", domain)))  # fmt: skip
    words = {**bench.overrides(path, domain), "scenario": scenario, "methods": "[L-MAC,All-ones]"}
    words["output_folder"] = str(bench.folder / "us8k" / f"{scenario}_{domain}")
    if scenario in CONTAMINANTS:
        words["contaminant_folder"] = bench.folder / CONTAMINANTS[scenario]
    module = importlib.import_module("eval_explanations")
    module.main([str(path), *(f"--{k}={v}" for k, v in words.items()), "--device=cpu"])
    rows = pd.read_csv(Path(words["output_folder"]) / "metrics.csv")
    manifest = pd.read_csv(Path(words["output_folder"]) / "scenario.csv", keep_default_na=False)
    assert set(rows["method"]) == {"L-MAC", "All-ones"} and set(rows["domain"]) == {domain}
    assert manifest["target_wav"].str.startswith("audio/fold9/").all()
    if scenario == "mixtures":
        assert manifest["contaminant_wav"].str.startswith("audio/fold10/").all()


@pytest.mark.parametrize("name", ["classifier", "lmac"])
def test_training_takes_wham_noise_and_evaluation_is_refused_it(bench, name, tmp_path):
    path = Path(f"recipes/UrbanSound8K/recipe.yaml:{name}")
    bench.run(path)
    own = bench.overrides(path, None)
    if name == "lmac":
        own["classifier_checkpoint"] = settings(path, own)["classifier_checkpoint"]
    own |= {"noise_folder": bench.folder / "wham_noise" / "tr", "output_folder": tmp_path / name}
    module = importlib.import_module(runner_of(path).module)
    module.main([str(path), *(f"--{k}={v}" for k, v in own.items()), "--device=cpu"])
    assert_trained(SimpleNamespace(out=tmp_path / name))
    # Another folder, so that only what lies beside the weights can tell.
    best = tmp_path / name / "best"
    augmentation = json.loads((best / "info.json").read_text())["augmentation"]
    assert augmentation["noise_folder"] == "wham_noise/tr"
    assert augmentation["noise_path"] == str((bench.folder / "wham_noise" / "tr").resolve())
    text = (best / "info.json").read_text()
    forget_sum(best / "info.json")
    (best / "info.json").write_text(
        text.replace(augmentation["noise_path"], str(bench.folder / "LJSpeech-1.1"))
    )
    evaluation = stage_beside(path, "evaluation")
    words = {**bench.overrides(evaluation, None), "output_folder": tmp_path / "out",
             f"{name}_checkpoint": tmp_path / name / "best", "scenario": "speech",
             "methods": {"classifier": "[Saliency]", "lmac": "[L-MAC]"}[name],
             "contaminant_folder": bench.folder / "LJSpeech-1.1/wavs"}  # fmt: skip
    main = importlib.import_module("eval_explanations").main
    with pytest.raises(ValueError, match="shares recordings with .*LJSpeech-1.1, the noise that"):
        main([str(evaluation), *(f"--{k}={v}" for k, v in words.items()), "--device=cpu"])
    words |= {"scenario": "id", "contaminant_folder": bench.folder / "wham_noise" / "tr"}
    with pytest.raises(ValueError, match="WHAM!'s tr, which is for training only: give .*/cv or"):
        main([str(evaluation), *(f"--{k}={v}" for k, v in words.items()), "--device=cpu"])
    assert not (tmp_path / "out" / "scenario.csv").exists()


@pytest.mark.parametrize("path", RECIPES, ids=str)
def test_every_recipe_states_the_classes_of_its_data(path):
    """The fixtures have three classes; the real numbers are these."""
    classes = {"ESC-10": 10, "ESC-50": 50, "UrbanSound8K": 10, "built-in sounds": 10}
    classes |= {"ESC-10 and UrbanSound8K": 19, "planted cues in ESC-10": 10}
    plain = settings(path)
    if "dataset" in plain:
        left_out = len(plain.get("without_classes", ()))
        assert plain["out_n_neurons"] == classes[plain["dataset"]] - left_out
        # A decoder may learn from more prompts than its clips have classes.
        if "prompts" in plain and plain.get("prompts_per_sound") is None:
            assert len(plain["prompts"]) == plain["out_n_neurons"]


def test_the_fixture_finds_a_recipe_whose_parts_do_not_meet(bench, tmp_path):
    """The check above can fail."""
    path = Path("recipes/ESC10/recipe.yaml:evaluation")
    plain = {"domain": "stft", "lmac_checkpoint": str(tmp_path / "elsewhere" / "best")}
    with pytest.raises(pytest.fail.Exception, match="no YAML beside it writes lmac_checkpoint"):
        bench.maker(path, plain, "lmac_checkpoint")


@pytest.mark.parametrize("path", RECIPES, ids=str)
def test_a_recipe_s_files_agree_on_the_network(path):
    """One that extends a file of another recipe may inherit the width of its classifier."""
    classifier, here = stage_beside(path, "classifier"), settings(path)
    if classifier not in RECIPES or "classifier_name" not in here:
        pytest.skip("it has no classifier, or none of its own")
    there = settings(classifier)
    keys = {key for key in there if key.startswith("classifier_")} - {"classifier_checkpoint"}
    assert {k: here[k] for k in keys & here.keys()} == {k: there[k] for k in keys & here.keys()}
