"""Every setting is declared once: checked before anything is built, and shown by --help."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import ruamel.yaml

import interpreters.saliency
from data_prep.scenario_kinds import SCENARIOS
from lmac.core.domain import DOMAINS, SIGNAL_PATHS
from lmac.core.losses import GUIDANCE
from lmac.settings.cli import run
from lmac.settings.compose import SLOTS
from lmac.settings.declared import RunOptions, declared, run_options, switches
from lmac.settings.help import summary_of
from lmac.settings.load import ConfigError, load, merge, parse, run_opts_of, settings
from lmac.settings.validate import problem

YAMLS = sorted(p for folder in ("hparams", "recipes") for p in Path(folder).rglob("*.yaml"))


def keys_of(path):
    whole = ruamel.yaml.YAML().load(path.read_text(encoding="utf-8")) or {}
    keys = {*whole, *(key for stage in whole.get("stages", {}).values() for key in stage)}
    keys -= {"extends", "stages", *SLOTS}
    return {key for key in keys if not key.startswith("__")}


# ---- What is declared --------------------------------------------------------------------------
@pytest.mark.parametrize("path", YAMLS, ids=str)
def test_no_key_is_undeclared(path):
    assert keys_of(path) <= declared().keys()


def test_no_declaration_is_dead():
    used = set().union(*map(keys_of, YAMLS))
    of_yaml = {name for name, one in declared().items() if one.group is not RunOptions}
    assert len(YAMLS) > 40 and of_yaml == used


def test_the_run_options_are_speechbrains():
    from speechbrain.utils import run_opts

    taken = {a.dest for a in run_opts.RunOptions._create_parser()._actions}
    assert run_options() == taken - {"help", "param_file"}
    defaults = run_opts.RunOptions().as_dict()
    assert switches() == {k for k in run_options() if defaults[k] is False}
    # What SpeechBrain does by default is what the declaration allows.
    plain = {k: defaults[k] for k in run_options() if defaults[k] is not None}
    assert problem(plain) is None
    made = run_opts_of({"device": "cpu", "debug": True})
    assert made.device == "cpu" and made.debug and made.overridden_args == {"device", "debug"}


def test_choices_are_those_of_the_tables_that_own_them():
    for key, owner in [("scenario", SCENARIOS), ("domain", DOMAINS), ("domains", DOMAINS),
                       ("signal_path", SIGNAL_PATHS), ("guidance", GUIDANCE)]:  # fmt: skip
        assert list(declared()[key].kind.choices) == list(owner), key


def test_the_command_lists_every_setting():
    printed, end, seconds, heavy = called("lmac settings")
    assert end is None and heavy == [] and seconds < 3
    words = " ".join(printed.split())
    for key, one in declared().items():
        if one.kind.built:
            assert re.search(rf"\(built by code .*\b{key}\b", words), key
        else:
            assert f"--{key}=" in printed and f"{one.meaning} ({one.expected})" in words, key
    assert re.search(r"--number_of_epochs=200 \(classifier\), 60 \(lmac,", printed)
    assert re.search(r"--data_folder=needed ", printed)


# ---- Values ------------------------------------------------------------------------------------
NAN, INF = float("nan"), float("inf")
# Key: values that are taken, and values that are not. By hand, from what each means.
VALUES = {
    "seed": ([0, 1234, 2**32 - 1], [-1, 1.5, NAN, True, "1", None, [1], 2**32]),
    "batch_size": ([1, 32], [0, -1, 2.0, INF, True, "x", None, 10**12]),
    "number_of_epochs": ([1, 200], [0, -3, 1.0, NAN]),
    "lr": ([0.003, 1e-8, 1], [0, -0.1, NAN, INF, "0.1", True, None, 1e308]),
    "weight_decay": ([0, 2e-6], [-1e-9, NAN, INF]),
    "num_workers": ([0, 8], [-1, 0.5, None]),
    "listen": ([0, 10], [-5, 1.5, "all", None]),
    "l_in": ([0, 4.0], [-1, NAN, INF, "a"]),
    "l_sparse": ([0, 6.4], [-1, NAN, [1]]),
    "cc_th": ([-1, -0.1, 0, 0.6, 1], ["abc", 1.1, -1.1, NAN]),
    "bin_th": ([0, 0.35, 1], [2, "x"]),
    "relevance_threshold": ([0, 0.2, 1], [5, -1, NAN]),
    "noise_probability": ([0, 0.5, 1], ["abc", 1.5, -0.5, NAN, True]),
    "mix_probability": ([0, 1.0], [2, None]),
    "mix_snr_db": ([[0, 15], [0, 0], [-5.5, 3]], [[30, 0], [0], [0, 1, 2], 5, [0, NAN], [0, INF],
                                                  ["a", "b"], [], None]),
    "gain_db": ([[-12, 0]], [[0, -12], {"low": 1}, "[0,1]"]),
    "noise_snr_db": ([[0, 0]], [[1, 0], [True, 2]]),
    "mixup": ([0, 0.3], [-0.3, NAN]),
    "train_folds": ([[1, 2, 3], 1, [0]], [[], [1, 1], [-1], ["a"], 1.5, None, True, [1.0], {}]),
    "methods": ([["L-MAC"], ["L-MAC", "IG"]], [[], ["IG", "IG"], "IG", [1], [[]], None, [""]]),
    "domain": (["stft", "mel"], ["STFT", "", 1, None, ["stft"]]),
    "domains": ([["stft"], ["mel", "stft"]], [[], "stft", ["x"]]),
    "scenario": (list(SCENARIOS), ["mixture", 3, None]),
    "precision": (["fp32", "fp16", "bf16"], ["fp64", 16]),
    "device": (["cpu", "cuda", "cuda:1", "mps"], ["gpu", "cuda:", "cuda:x", "", 0, "cpu "]),
    "guidance": (["bce", "mse"], ["l1", None]),
    "download": ([True, False], ["yes", 1, 0, None]),
    "download_checksum": ([None, "md5:" + "0a" * 16, "sha256:" + "f" * 64],
                          ["md5:0", "0a" * 16, "sha1:" + "0" * 40, 3]),
    "sample_rate": ([16000, 44100], [0, -16000, 16000.0, "16k"]),
    "n_fft": ([1024, 2048], [0, 1, -1024, 1e3]),
    "n_mels": ([1, 80], [0, 5000, 80.0]),
    "win_length": ([23.2, 25], [0, -1, NAN, INF]),
    "signal_length_s": ([5, 0.5], [0, -5, NAN, INF, 1e9]),
    "out_n_neurons": ([0, 2, 50], [-1, 2.0]),
    "last_contaminants": ([None, 1, 3000], [0, -1, 1.5]),
    "contaminant_folder": ([None, "x", "a: b #c"], ["", 3, ["x"], "a\nb", "a\0"]),
    "results_folder": (["results", "r é"], [None, "", 3, True, "é" * 130]),
    "target_class": ([None, "dog", "007", ["dog", "rain"]], [7, "", [], [7]]),
    "asked_snr_db": ([[12, 0]], [[], 3, [0, 0], [NAN]]),
    "prompts": (["a dog, rain", ["a", "b"], {"dog": "a", "b": "c"}],
                ["", [], ["a", "a"], {"dog": 1}, 3]),
    "without_classes": ([[], ["dog"]], ["dog", [1], None]),
    "labels_csv": (["a b.csv", None], [[1], True]),
    "presence_threshold": ([0.05, 1], [0, 1.5]),
    "window_s": ([5.0, 2], [0, -1, NAN]),
    "overlap_s": ([0, 1.0], [-1, NAN]),
    "cam_layer": ([-1, 0, 2], [0.5, "last", None]),
    "ig_steps": ([1, 50], [0, -1]),
    "smoothgrad_noise": ([0, 0.15], [-0.1, INF]),
    "n_boot": ([1, 1000], [0, -1, None]),
    "nmf_tolerance": ([0.005], [0, -1, NAN]),
    "published_table": ([None, "1", "4"], [1, "", ["1"]]),
    "classifier_layers": ([None, [], ["a.0"], {"a.0": "BTC"}, {"a": None}], ["a", 3, [1]]),
    "decoder": ([], [5, "x", None, ["a"], {"a": 1}]),
    "augment": ([None], [5, "x"]),
    "interpreters": ([], [{}, {"IG": 1}, "IG", None]),
    "spec_augment": ([None, []], ["x", [1]]),
    "max_grad_norm": ([5.0, -1], [NAN, "x"]),
    "jit_module_keys": ([["a"]], [[], "a"]),
}  # fmt: skip


@pytest.mark.parametrize("key", VALUES)
def test_values(key):
    good, bad = VALUES[key]
    assert [v for v in good if problem({key: v}) is not None] == []
    assert [v for v in bad if problem({key: v}) is None] == []


NONSENSE = [True, NAN, -1e30, 1e30, "☃", [], {}, [[1]], {"a": 1}, 10**30]


def test_no_setting_takes_everything():
    """Of odd values each takes at most those of its own type."""
    for key in declared():
        refused = [v for v in NONSENSE if problem({key: v}) is not None]
        assert len(refused) >= len(NONSENSE) - 3, key


def test_what_nobody_declared_is_free_and_what_is_built_is_not_looked_into():
    built = ruamel.yaml.YAML().load("decoder: !name:a.B\nseed: !apply:a.c\nlr: !apply:x.y {}\n")
    assert problem({"my_own": NAN, **built}) is None


# ---- What depends on one another ---------------------------------------------------------------
FRONT = {"n_fft": 1024, "n_mels": 80, "win_length": 23.2, "hop_length": 11.6, "sample_rate": 16000}
RULES = [
    ({"train_folds": [1, 2], "valid_folds": [3], "test_folds": 4}, None),
    ({"train_folds": [1, 2], "valid_folds": [3], "test_folds": [3]}, None),
    ({"train_folds": [1, 2], "valid_folds": 2}, r"valid_folds has fold \[2\] of train_folds"),
    ({"train_folds": 1, "test_folds": [1, 5]}, r"test_folds has fold \[1\] of train_folds"),
    (FRONT, None),
    (FRONT | {"n_mels": 513}, None),
    ({"prompts": "a dog, rain"}, None),
    ({"prompts": {"dog": "a dog", "rain": "rain falling"}}, None),
    ({"prompts": "a dog"}, "'a dog' is the only one"),
    ({"prompts": ["a dog", "A  dog"]}, "'A dog' is there twice"),
    ({"out_n_neurons": 0, "train_folds": [1]}, "out_n_neurons is 0: expected the number"),
    (FRONT | {"n_mels": 514}, "n_mels is 514: expected at most 513, the bins of n_fft 1024"),
    (FRONT | {"win_length": 64}, None),
    (FRONT | {"win_length": 64.1}, "win_length is 64.1 ms: .* 2 samples to 64 ms"),
    (FRONT | {"sample_rate": 48000}, "win_length is 23.2 ms: .* to 21.3333 ms"),
    (FRONT | {"hop_length": 0.01}, "hop_length is 0.01 ms: expected a sample at least, 0.0625 ms"),
    (FRONT | {"hop_length": 11.7}, "hop_length is 11.7 ms: expected at most half .* 11.6 ms"),
    ({"signal_length_s": 0.02, "win_length": 23.2}, "signal_length_s is 0.02 s: .*23.2 ms"),
    ({"window_s": 2, "overlap_s": 1}, None),
    ({"window_s": 2, "overlap_s": 1.1}, "overlap_s is 1.1 s: expected 0 to half of window_s, 1 s"),
    ({"target_decision": 0.5, "target_source": 0.25, "target_probable": 0.25}, None),
    (
        {"target_decision": 0.5, "target_source": 0.5, "target_probable": 0.1},
        "expected a sum of at most 1",
    ),
    ({"domain": "mel", "signal_path": "direct"}, None),
    ({"domain": "mel", "signal_path": "waveform"}, "no sound can be made of mel bands"),
    ({"scenario": "speech", "contaminant_folder": None}, "speech needs recordings: .*_folder=…"),
    ({"scenario": "plain", "contaminant_folder": None}, None),
    ({"scenario": "id", "contaminant_folder": "x"}, None),
]


@pytest.mark.parametrize("values,message", RULES)
def test_rules(values, message):
    found = problem(values, to_run=True)
    assert (found is None) == (message is None), found
    if message:
        assert re.search(message, found.sentence) and set(found.about) & values.keys()


def test_an_emptied_slot_is_what_is_named():
    message = "^--decoder_yaml=null: interpreters: there is no decoder"
    with pytest.raises(ConfigError, match=message):
        settings("recipes/ESC10/recipe.yaml:evaluation", {"decoder_yaml": None, "data_folder": "x"})


def test_a_key_of_an_emptied_slot_names_the_slot():
    with pytest.raises(ConfigError, match="^--dataset_yaml is null: .* no --data_folder.$"):
        settings("recipes/ESC10/recipe.yaml:lmac", {"dataset_yaml": None, "data_folder": "x"})


def test_methods_are_those_of_the_yaml_and_the_nearest_is_named():
    for path, key in [("hparams/evaluation.yaml", "methods"),
                      ("recipes/ESC10/recipe.yaml:table2_mixtures", "methods_mel")]:  # fmt: skip
        with pytest.raises(ConfigError, match=f"--{key}=.*no method GradCam, did you mean GradCAM"):
            settings(path, {key: ["L-MAC", "GradCam"]})
    with pytest.raises(ConfigError, match="no method nothing, expected some of L-MAC, L-MAC FT"):
        settings("hparams/evaluation.yaml", {"methods": ["nothing"]})


# ---- Sentences ---------------------------------------------------------------------------------
@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe on top of hparams/lmac.yaml; its path."""

    def write(text, base="lmac"):
        path = tmp_path / "mine.yaml"
        base = os.path.relpath(f"hparams/{base}.yaml", tmp_path)
        path.write_text(f"extends: {base}\ndata_folder: x\n{text}", encoding="utf-8")
        return path

    return write


def test_a_yaml_is_named_with_its_key_and_value(recipe):
    expected = r"mine.yaml: l_sparse is -1: expected a number from 0 to 1000000\.$"
    with pytest.raises(ConfigError, match=expected):
        settings(recipe("l_sparse: -1\n"))
    with pytest.raises(ConfigError, match="mine.yaml: l_out is nan: expected a number"):
        settings(recipe("w: .nan\nl_out: !ref <w>\n"))  # as it is when resolved
    with pytest.raises(ConfigError, match="mine.yaml: valid_folds has fold .2. of train_folds"):
        settings(recipe("valid_folds: [2]\n"))
    with pytest.raises(ConfigError, match=r"^--train_folds=\[4\]: valid_folds has fold \[4\]"):
        settings(recipe(""), {"train_folds": [4]})
    with pytest.raises(ConfigError, match=r"^--n_fft=128: n_mels is 80: expected at most 65"):
        settings(recipe("win_length: 8\nhop_length: 4\n"), {"n_fft": 128})


def test_the_command_line_is_named_with_unit_and_nearest_choice():
    with pytest.raises(ConfigError) as error:
        settings("hparams/lmac.yaml", {"guidance": "bcee"})
    assert str(error.value) == "--guidance=bcee: expected one of bce, mse; did you mean bce?"
    with pytest.raises(ConfigError) as error:
        settings("hparams/lmac.yaml", {"signal_length_s": -3})
    assert str(error.value) == (
        "--signal_length_s=-3: expected a number above 0, at most 3600, in s."
    )


def test_references_that_lead_nowhere_are_one_sentence(recipe):
    for text in ("l_in: !ref <nothing>\n", "l_in: !ref <l_in>\n",
                 "l_in: !ref 1 / <zero>\nzero: 0\n",
                 "x: !new:torch.nn.Linear\n    in_features: !PLACEHOLDER\n"):  # fmt: skip
        with pytest.raises(ConfigError) as error:
            load(recipe(text))
        assert "mine.yaml" in str(error.value) and "\n" not in str(error.value)


def test_a_misspelt_key_that_nothing_reads_is_refused(recipe, tmp_path):
    misspelt = "mine.yaml: there is no setting number_of_epoch, .* mean number_of_epochs"
    with pytest.raises(ConfigError, match=misspelt):
        settings(recipe("number_of_epoch: 5\n"))
    # A key of one's own is free, also where its name is near another and something refers to it.
    assert settings(recipe("number_of_epoch: 5\nnumber_of_epochs: !ref <number_of_epoch>\n"))
    assert settings(recipe("my_own: 5\n"))["my_own"] == 5
    (tmp_path / "alone.yaml").write_text("number_of_epoch: 5\n")  # as a run writes it
    assert settings(tmp_path / "alone.yaml") == {"number_of_epoch": 5}


BROKEN = """
class Fails:
    def __init__(self, width=1):
        raise RuntimeError("no room for\\n%d channels" % width)


def fails(*arguments):
    return {}["missing"]


def refuses(*arguments):
    raise ValueError("odd")
"""


@pytest.mark.parametrize(
    "text,said",
    [
        ("thing: !new:broken_user.Fails\n    width: 7\n",
         "thing: !new:broken_user.Fails .*RuntimeError: no room for 7 channels"),
        ("augment: !apply:broken_user.fails [1]\n",
         "augment: !apply:broken_user.fails cannot be built .KeyError: missing"),
        ("thing: [!apply:broken_user.refuses [1]]\n", "thing: !apply:.* .ValueError: odd"),
        ("thing: !new:broken_user.Missing\n", "thing: !new:broken_user.Missing .*ImportError: "),
        ("thing: !name:no_such_module.f\n", "thing: !name:no_such_module.f .*ImportError"),
        ("thing: !new:broken_user.Fails\n    depth: 7\n", "thing: .*TypeError: .*'depth'"),
    ],
)  # fmt: skip
def test_code_that_fails_while_it_is_built_is_named(recipe, tmp_path, monkeypatch, text, said):
    (tmp_path / "broken_user.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    path = recipe(text)
    with pytest.raises(ConfigError, match=f"mine.yaml: {said}") as error:
        load(path)
    assert "\n" not in str(error.value) and "LMAC_TRACEBACK=1" in str(error.value)
    assert error.value.__cause__ is not None
    with pytest.raises(SystemExit, match="^error: .*mine.yaml: (thing|augment)"):
        run(lambda argv: load(path), ["x"])
    monkeypatch.setenv("LMAC_TRACEBACK", "1")
    with pytest.raises(ConfigError):
        run(lambda argv: load(path), ["x"])


def test_what_yaml_computes_is_checked_when_it_is_there(recipe):
    with pytest.raises(ConfigError, match="mine.yaml: l_in is -4: expected a number"):
        load(recipe("l_in: !apply:operator.neg [4]\nnoise_folder: null\n"))


# ---- The command line --------------------------------------------------------------------------
def test_words():
    words = ["x.yaml", "--device=cuda:1", "--debug", "--seed", "3", "--folds=[1,2]", "--seed=4",
             "--audio=a: b #2.wav", "--target_class=007", "--noise_folder=null", "--title=[x]",
             "--own=007", "--methods=IG", "--methods_mel=[IG, 7]",
             "--prompts=a: b, c", "--prompt_phrases={a: [b, c]}",
             "--classification_loss=!name:a.b"]  # fmt: skip
    path, options, given = parse(words)
    assert path == "x.yaml" and options == {"device": "cuda:1", "debug": True}
    loss = given.pop("classification_loss")
    assert loss.tag.value == "!name:a.b"
    assert given == {"seed": 4, "folds": [1, 2], "audio": "a: b #2.wav", "target_class": "007",
                     "noise_folder": None, "title": "[x]", "own": 7, "methods": ["IG"],
                     "methods_mel": ["IG", "7"], "prompts": "a: b, c",
                     "prompt_phrases": {"a": ["b", "c"]}}  # fmt: skip


@pytest.mark.parametrize(
    "word,message",
    [("--seed", "--seed has no value: write --seed=…"), ("x", "'x' is one word too many"),
     ("-s=3", "'-s=3' is one word too many"), ("--", "'--' is one word"),
     ("--lr=[1", "--lr=.1: it is not valid YAML"), ("--lr=a: b: c", "not valid YAML"),
     ("--lr=!new:a.b", "--lr=!new:a.b …: expected a number"), ("--lr=!x", "expected a number"),
     ("--lr=!!python/object:os.system", "expected a number"), ("--lr=@", "not valid YAML"), 
     ("--lr=*a", "not valid YAML"), ("--methods=IG,SHAP", "expected names as a list"),
     ("--device=gpu", "--device=gpu: expected cpu, cuda"), ("--debug=maybe", "expected True or"),
     ("--max_grad_norm=.nan", "--max_grad_norm=nan: expected a number")],
)  # fmt: skip
def test_wrong_words_are_one_sentence(word, message):
    with pytest.raises(ConfigError, match=message) as error:
        path, _, given = parse(["hparams/lmac.yaml", word])
        settings(path, given)
    assert "\n" not in str(error.value)


# ---- Help, and refusal at once -----------------------------------------------------------------
COMMANDS = {
    "train_classifier.py": "recipes/ESC10/recipe.yaml:classifier",
    "train_lmac.py": "recipes/demo/recipe.yaml:lmac_finetune",
    "eval_explanations.py": "hparams/evaluation.yaml",
    "explain.py": "hparams/explain.yaml",
    "lmac l2i": "hparams/l2i.yaml",
    "lmac piq": "hparams/piq.yaml",
    "lmac inspect": "hparams/inspect.yaml",
    "lmac table": "recipes/ESC10/recipe.yaml:table2_mixtures",
    "lmac folds": "recipes/UrbanSound8K/recipe.yaml:classifier",
    "lmac randomisation": "recipes/ESC10/recipe.yaml:evaluation",
    "lmac resynthesis": "recipes/ESC10/recipe.yaml:evaluation",
    "lmac held_out": "recipes/zero_shot/recipe.yaml:held_out",
    "lmac planted_cues": "recipes/planted_cues/recipe.yaml:cnn14",
    "lmac asked": "recipes/ESC10_conditional/recipe.yaml:evaluation",
}
CALL = """
import json, runpy, sys, time
name, sys.argv = sys.argv[1], sys.argv[1:]
try:
    if name.endswith(".py"):
        runpy.run_path(name, run_name="__main__")
    else:
        sys.argv[0:1] = name.split()
        runpy.run_module("lmac", run_name="__main__")
    end = None
except SystemExit as error:
    end = error.code
heavy = [m for m in ("torch", "speechbrain", "pandas") if m in sys.modules]
print(json.dumps([end, time.process_time(), heavy]))
"""


def called(name, *words):
    """(what is printed, exit code or sentence, CPU seconds, heavy modules that were imported)."""
    done = subprocess.run([sys.executable, "-c", CALL, name, *words], capture_output=True,
                          text=True, timeout=120, check=True)  # fmt: skip
    printed, last = done.stdout.rstrip("\n").rpartition("\n")[::2]
    return printed, *json.loads(last)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_there_at_once_and_lists_all_settings(name):
    path = COMMANDS[name]
    printed, end, seconds, heavy = called(name, path, "--help", "--seed=77")
    assert end == 0 and heavy == [] and seconds < 1.5
    tree = merge(path)
    for key in tree:
        if not key.startswith("__"):
            assert re.search(rf"(--{key}=|\b{key}\b)", printed), key
    assert "--seed=77 " in printed and "--device=…" in printed
    assert max(map(len, printed.splitlines())) <= 100 or "http" in printed
    for method in tree.get("interpreters", ()):
        assert re.search(rf"^    {re.escape(method)} +\S.+", printed, re.M), method
    for key, one in declared().items():
        if key in tree and not one.kind.built:
            assert one.meaning.split()[0] in printed


def test_help_without_a_yaml_is_that_of_the_first_it_names():
    printed, end, _, heavy = called("train_lmac.py", "--help")
    assert end == 0 and heavy == [] and "Settings of hparams/lmac.yaml" in printed
    assert "--data_folder=…" in printed and "needed: where the data set is" in printed


@pytest.mark.parametrize(
    "name,words,message",
    [
        ("train_lmac.py", ["hparams/lmac.yaml", "--l_sparse=-1"], "error: --l_sparse=-1: expected"),
        ("eval_explanations.py", ["hparams/evaluation.yaml", "--batchsize=1"], "mean batch_size"),
        ("explain.py", ["hparams/nothing.yaml"], "no YAML file hparams/nothing.yaml"),
        ("train_lmac.py", ["hparams/lmac.yaml"], "needs a value for data_folder"),
        ("train_lmac.py", ["hparams/evaluation.yaml", "--data_folder=x"], "has no save_folder"),
        ("lmac folds", ["hparams/classifier.yaml", "--lr=x"], "--lr=x: expected a number"),
        ("lmac table", ["recipes/ESC10/recipe.yaml:table2_mixtures", "--n_boot=0"],
         "--n_boot=0: expect"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_at_once(name, words, message):
    _, end, seconds, heavy = called(name, *words)
    assert re.search(message, end) and end.startswith("error: ") and heavy == [] and seconds < 1.5


def test_methods_are_described_without_importing_them():
    assert summary_of("!name:interpreters.shap.SHAP").startswith("Gradients of the explained")
    assert summary_of("!name:interpreters.saliency.None") == interpreters.saliency.__doc__
    assert summary_of("!name:no.such.Class") == "" == summary_of("!name:no_module")
