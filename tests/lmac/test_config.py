"""Merged YAML files and their overrides."""

import importlib
import itertools
import os

import pytest
import ruamel.yaml

import lmac.composition
from lmac.config import (
    ConfigError,
    check_same_run,
    experiment_of,
    load,
    load_experiment,
    merge,
    parse,
    settings,
)

EXPERIMENTS = ["classifier", "lmac", "lmac_finetune", "l2i", "evaluation", "explain", "check"]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "base.yaml").write_text("seed: 1\nfolder: !ref out/<seed>\nwidth: 64\n")
    (tmp_path / "parts" / "small.yaml").write_text(
        "name: small\nlayer: !new:torch.nn.Linear\n  in_features: !ref <width>\n  out_features: 2\n"
    )
    (tmp_path / "parts" / "large.yaml").write_text("name: large\nlayer: null\n")
    (tmp_path / "main.yaml").write_text(
        "extends: base.yaml\nclassifier_yaml: parts/small.yaml\nwidth: 8\ndata: !PLACEHOLDER\n"
    )
    (tmp_path / "recipe.yaml").write_text(
        "extends: main.yaml\nclassifier_yaml: parts/large.yaml\ndata: here\n"
    )
    return tmp_path


def test_the_naming_file_wins_over_the_named_and_references_see_all(files):
    hparams, resolved = load(files / "main.yaml", {"data": "x"})
    assert hparams["seed"] == 1 and hparams["folder"] == "out/1"
    assert hparams["layer"].in_features == 8
    assert "width: 8" in resolved


def test_overrides_reach_everything_and_win(files):
    hparams, _ = load(files / "main.yaml", {"data": "x", "width": 3, "seed": 7})
    assert hparams["layer"].in_features == 3 and hparams["folder"] == "out/7"


def test_another_file_is_an_override(files, monkeypatch):
    monkeypatch.chdir(files)
    hparams, _ = load("main.yaml", {"data": "x", "classifier_yaml": "parts/large.yaml"})
    assert hparams["name"] == "large" and hparams["layer"] is None


def test_a_recipe_changes_a_few_lines_of_an_experiment(files):
    hparams, _ = load(files / "recipe.yaml")
    assert hparams["name"] == "large" and hparams["data"] == "here" and hparams["width"] == 8


def test_the_resolved_file_repeats_the_run(files):
    hparams, resolved = load(files / "main.yaml", {"data": "x", "width": 5})
    (files / "again.yaml").write_text(resolved)
    again, _ = load(files / "again.yaml")
    assert again["layer"].in_features == 5 and again["folder"] == hparams["folder"]


@pytest.mark.parametrize(
    "overrides,message",
    [
        ({"widht": 3}, "Unknown override --widht: .*did you mean width"),
        ({"nonsense_key": 3}, "Unknown override --nonsense_key: .*no such key"),
        ({"classifier_yaml": "none.yaml"}, "no YAML file none.yaml, named by --classifier_yaml"),
        ({"classifier_yaml": 3}, "--classifier_yaml: .* is 3: expected a file or null"),
        ({"clasifier_yaml": "x.yaml"}, "--clasifier_yaml: .*did you mean classifier_yaml"),
        ({"part_yaml": "x.yaml"}, "--part_yaml: .*slots are dataset_yaml, .*by extends: x.yaml"),
        ({"dataset_yaml": "x.yaml"}, "Unknown override --dataset_yaml: .*no such key"),
        ({"extends": "x.yaml"}, "Unknown override --extends: .*no such key"),
        ({}, "needs a value for data: add --data="),
    ],
)
def test_mistakes_get_one_sentence(files, overrides, message):
    with pytest.raises(ConfigError, match=message) as error:
        load(files / "main.yaml", overrides)
    assert "\n" not in str(error.value)


def test_broken_files_are_named(files):
    (files / "loop.yaml").write_text("extends: loop.yaml\n")
    with pytest.raises(ConfigError, match="loop.yaml names itself"):
        merge(files / "loop.yaml")
    (files / "list.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="list.yaml must hold key: value pairs"):
        merge(files / "list.yaml")
    (files / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match="broken.yaml is not valid YAML"):
        merge(files / "broken.yaml")
    with pytest.raises(ConfigError, match="first argument must be a YAML file"):
        parse(["--seed=3"])


def test_a_run_is_not_continued_with_other_settings(files):
    _, resolved = load(files / "main.yaml", {"data": "x"})
    check_same_run(files, resolved)  # nothing there yet
    (files / "hyperparams.yaml").write_text(resolved)
    check_same_run(files, resolved)
    _, other = load(files / "main.yaml", {"data": "x", "width": 9})
    with pytest.raises(ConfigError, match="holds a run with width 8, now it is 9: give another"):
        check_same_run(files, other)


def test_a_key_given_twice_counts_the_last_time():
    path, _, overrides = parse(["x.yaml", "--lr=1", "--folds=[1,2]", "--lr=2"])
    assert path == "x.yaml" and overrides == {"lr": 2, "folds": [1, 2]}


def test_settings_are_resolved_and_nothing_is_constructed(files):
    (files / "main.yaml").write_text(
        "extends: base.yaml\ndata: !PLACEHOLDER\nlist: [a, b]\nwhere: !ref <folder>/x\n"
        "thing: !new:no.such.Class\n    size: !ref <width>\n"
    )
    found = settings(files / "main.yaml", {"seed": 7})
    assert found == {
        "seed": 7, "folder": "out/7", "width": 64, "data": None, "list": ["a", "b"],
        "where": "out/7/x",
    }  # fmt: skip


# ---- base < slots < experiment < recipe < command line -----------------------------------------
LEVELS = {"base": "base", "slots": "slot", "experiment": "main", "recipe": "recipe"}
ORDER = [*LEVELS, "command line"]


@pytest.fixture
def plant(tmp_path):
    """Writes one key, n_mels, at the given levels; the value that is left."""

    def planted(*levels):
        heads = {"base": "seed: 1\n", "slot": "name: slot\n", "recipe": "extends: main.yaml\n",
                 "main": "extends: base.yaml\nclassifier_yaml: slot.yaml\n"}  # fmt: skip
        for level, name in LEVELS.items():
            own = f"n_mels: {ORDER.index(level) + 1}\n" if level in levels else ""
            (tmp_path / f"{name}.yaml").write_text(heads[name] + own)
        given = {"n_mels": len(ORDER)} if "command line" in levels else {}
        return ORDER[settings(tmp_path / "recipe.yaml", given)["n_mels"] - 1]

    return planted


@pytest.mark.parametrize("lower,higher", list(itertools.combinations(ORDER, 2)))
def test_precedence(plant, lower, higher):
    assert plant(lower, higher) == higher


def test_the_line_of_files(tmp_path):
    """Later files of a list win over earlier ones, the naming file over all, each counts once."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.yaml").write_text("one: a\ntwo: a\nthree: a\nfour: a\n")
    (tmp_path / "sub" / "b.yaml").write_text("extends: ../a.yaml\ntwo: b\nthree: b\nfour: b\n")
    (tmp_path / "c.yaml").write_text("extends: a.yaml\nthree: c\nfour: c\n")
    (tmp_path / "d.yaml").write_text("extends: [sub/b.yaml, c.yaml]\nfour: d\n")
    assert dict(merge(tmp_path / "d.yaml")) == {"one": "a", "two": "b", "three": "c", "four": "d"}
    (tmp_path / "e.yaml").write_text("extends: [d.yaml, a.yaml]\n")  # a stays an ancestor
    assert dict(merge(tmp_path / "e.yaml")) == dict(merge(tmp_path / "d.yaml"))


def test_slots_choose_and_build_on_files(files, monkeypatch):
    """The last to name a slot chooses its file, wherever the slot stands in the order."""
    (files / "parts" / "wide.yaml").write_text("extends: large.yaml\nmore: 1\n")
    (files / "wide.yaml").write_text("extends: recipe.yaml\nclassifier_yaml: parts/wide.yaml\n")
    found = settings(files / "wide.yaml")
    assert (found["name"], found["more"], found["width"]) == ("large", 1, 8)
    monkeypatch.chdir(files / "parts")
    found = settings("../wide.yaml", {"classifier_yaml": "large.yaml"})
    assert found["name"] == "large" and "more" not in found
    assert "name" not in settings("../wide.yaml", {"classifier_yaml": None})
    (files / "none.yaml").write_text("extends: recipe.yaml\nclassifier_yaml: null\n")
    assert "name" not in settings(files / "none.yaml")


def test_loops_and_missing_files_are_named(files):
    (files / "one.yaml").write_text("extends: two.yaml\n")
    (files / "two.yaml").write_text("extends: [base.yaml, one.yaml]\n")
    with pytest.raises(ConfigError, match="one.yaml names itself through .*one.yaml → .*two.yaml"):
        merge(files / "one.yaml")
    (files / "parts" / "small.yaml").write_text("extends: small.yaml\n")
    with pytest.raises(ConfigError, match="small.yaml names itself"):
        merge(files / "main.yaml")
    (files / "one.yaml").write_text("extends: gone.yaml\n")
    with pytest.raises(ConfigError, match="no YAML file .*gone.yaml, named by .*one.yaml"):
        merge(files / "one.yaml")
    (files / "one.yaml").write_text("extends: main.yaml\nclassifier_yaml: gone.yaml\n")
    with pytest.raises(ConfigError, match="no YAML file .*gone.yaml, named by .*one.yaml"):
        merge(files / "one.yaml")
    for wrong in ("3", "[1]", "null", "{a: b}"):
        (files / "one.yaml").write_text(f"extends: {wrong}\n")
        with pytest.raises(ConfigError, match="one.yaml: extends is .*a file or a list of files"):
            merge(files / "one.yaml")


@pytest.mark.parametrize("name", ["main", "parts/small"])
def test_other_keys_in_yaml_are_refused(files, name):
    """As they were written before there was one key for them."""
    with (files / f"{name}.yaml").open("a") as file:
        file.write("base_yaml: base.yaml\n")
    expected = (
        f"{name}.yaml: there is no slot base_yaml; the slots are dataset_yaml, classifier_yaml, "
        "decoder_yaml, and a file to build on is named by extends: base.yaml"
    )
    with pytest.raises(ConfigError, match=expected):
        merge(files / "main.yaml")


def test_renamed_settings_are_named(files, monkeypatch):
    monkeypatch.setattr(lmac.composition, "RENAMED", {"size": "width"})
    with pytest.raises(ConfigError, match="Unknown override --size: it is called --width now"):
        merge(files / "main.yaml", {"size": 3})
    with (files / "recipe.yaml").open("a") as file:
        file.write("size: 3\n")
    with pytest.raises(ConfigError, match="recipe.yaml: size is called width now"):
        merge(files / "recipe.yaml")
    # A setting that still has its name is no old one.
    monkeypatch.setattr(lmac.composition, "RENAMED", {"seed": "width"})
    assert merge(files / "recipe.yaml", {"seed": 3, "width": 2})["seed"] == 3


# ---- What a slot may set -----------------------------------------------------------------------
FOREIGN = {
    "dataset_yaml": ["sample_rate", "decoder", "batch_size", "scenario", "noise_folder"],
    "classifier_yaml": ["batch_size", "seed", "lr", "number_of_epochs", "methods", "domain",
                        "out_n_neurons", "decoder_hidden", "classifier_checkpoint", "cc_th",
                        "dataset_yaml", "methods_stft"],
    "decoder_yaml": ["embedding_model", "train_folds", "l_in", "batch_size"],
}  # fmt: skip


@pytest.mark.parametrize("slot,key", [(slot, k) for slot in FOREIGN for k in FOREIGN[slot]])
def test_a_slot_that_sets_a_foreign_key_is_refused(tmp_path, slot, key):
    """By every experiment that has the slot, whether it has that key or not."""
    (tmp_path / "own.yaml").write_text(f"of_my_own: 1\n{key}: 3\n")
    tried = 0
    for name in EXPERIMENTS:
        path = f"hparams/{name}.yaml"
        if slot in merge(path):
            with pytest.raises(ConfigError, match=f"own.yaml sets {key}, which belongs to") as e:
                merge(path, {slot: str(tmp_path / "own.yaml")})
            assert "\n" not in str(e.value) and f"--{key}=" in str(e.value)
            tried += 1
    assert tried >= 3
    (tmp_path / "own.yaml").write_text("of_my_own: 1\n")
    assert merge(path, {slot: str(tmp_path / "own.yaml")} if slot in merge(path) else {})


def test_the_owner_is_named(tmp_path):
    own = tmp_path / "own.yaml"
    for key, owner in [("batch_size", "hparams/classifier.yaml"), ("seed", "hparams/base.yaml"),
                       ("out_n_neurons", "dataset_yaml")]:  # fmt: skip
        own.write_text(f"{key}: 3\n")
        with pytest.raises(ConfigError, match=f"{key}, which belongs to {owner} and not to"):
            merge("hparams/classifier.yaml", {"classifier_yaml": str(own)})


def test_two_slots_do_not_set_one_key(files):
    (files / "data.yaml").write_text("name: data\n")
    with (files / "main.yaml").open("a") as file:
        file.write("dataset_yaml: data.yaml\n")
    with pytest.raises(ConfigError, match="small.yaml sets name, .* to dataset_yaml and not to cl"):
        merge(files / "main.yaml")
    # Nor one of a base of the user's own.
    (files / "data.yaml").write_text("width: 3\n")
    with pytest.raises(ConfigError, match="data.yaml sets width, which belongs to .*base.yaml"):
        merge(files / "main.yaml")


@pytest.mark.parametrize("name", ["train_classifier", "train_lmac", "eval_explanations", "explain"])
def test_a_batch_size_in_a_classifier_stops_every_script(tmp_path, name):
    yaml = {"train_classifier": "classifier", "train_lmac": "lmac",
            "eval_explanations": "evaluation", "explain": "explain"}[name]  # fmt: skip
    (tmp_path / "own.yaml").write_text(
        f"extends: {os.path.relpath('hparams/classifiers/cnn14.yaml', tmp_path)}\nbatch_size: 8\n"
    )
    script = importlib.import_module(name)
    with pytest.raises(ConfigError, match="own.yaml sets batch_size, which belongs to hparams/"):
        script.main([f"hparams/{yaml}.yaml", f"--classifier_yaml={tmp_path}/own.yaml",
                     f"--results_folder={tmp_path}/results"])  # fmt: skip
    assert not (tmp_path / "results").exists()


# ---- What is left and where it comes from ------------------------------------------------------
def test_hyperparams_yaml_stands_alone_and_names_its_slots(files, monkeypatch):
    for name in ("main", "recipe"):
        with (files / f"{name}.yaml").open("a") as file:
            file.write("output_folder: !ref <folder>\nsave_folder: !ref <folder>/save\n")
    monkeypatch.chdir(files)
    load_experiment(["recipe.yaml", "--width=5"])
    text = (files / "out" / "1" / "hyperparams.yaml").read_text()
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert "# classifier_yaml: parts/large.yaml" in comments
    assert "recipe.yaml --width=5" in comments[1]
    again = merge("out/1/hyperparams.yaml")
    assert not [key for key in again if key.endswith("_yaml") or key == "extends"]
    assert settings("out/1/hyperparams.yaml") == settings("recipe.yaml", {"width": 5})
    load_experiment(["out/1/hyperparams.yaml", "--seed=1"])  # and repeats the run
    assert merge("out/1/hyperparams.yaml")["width"] == 5


def test_the_experiment_of_a_yaml(files):
    assert experiment_of("hparams/evaluation.yaml") == "evaluation"
    assert experiment_of("recipes/ESC10_aisfx/lmac_finetune_waveform.yaml") == "lmac_finetune"
    assert experiment_of("recipes/ESC50_published/table1_id.yaml") == "tables"
    assert experiment_of("hparams/base.yaml") is None is experiment_of(files / "main.yaml")
    mine = files / "mine.yaml"
    mine.write_text(f"extends: {os.path.relpath('recipes/demo/l2i.yaml', files)}\n")
    assert experiment_of(mine) == "l2i"
    for name in EXPERIMENTS:
        assert experiment_of(f"hparams/{name}.yaml") == name


def test_the_decoders_own_all_that_their_files_set():
    files = sorted((lmac.composition.HPARAMS / "decoders").glob("*.yaml"))
    keys = {k for f in files for k in ruamel.yaml.YAML().load(f.read_text())} - {"extends"}
    assert len(files) == 3 and keys == lmac.composition.SLOTS["decoder_yaml"]
