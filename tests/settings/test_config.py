"""Merged YAML files and their overrides."""

import importlib
import itertools
import os
from pathlib import Path

import pytest
import ruamel.yaml

import lmac.settings.compose
from lmac.settings.compose import RENAMED, stage_beside, stages_of
from lmac.settings.declared import declared
from lmac.settings.load import (
    ConfigError,
    check_same_run,
    experiment_of,
    load,
    load_experiment,
    merge,
    parse,
    settings,
)
from lmac.settings.resume import inputs_line

EXPERIMENTS = ["classifier", "lmac", "lmac_finetune", "l2i", "evaluation", "explain", "inspect"]


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


@pytest.fixture
def weights(tmp_path):
    """A folder of weights, as a setting names it."""
    (tmp_path / "a" / "best").mkdir(parents=True)
    (tmp_path / "a" / "best" / "classifier.ckpt").write_bytes(b"weights")
    return tmp_path / "a" / "best"


def resolved_with(folder, **settings):
    """The text of a run's settings, kept in ``folder`` as a run keeps it where it is empty."""
    text = "".join(f"{key}: {value}\n" for key, value in settings.items())
    if not (folder / "hyperparams.yaml").exists():
        (folder / "hyperparams.yaml").write_text(inputs_line(text) + text)
    return text


def test_other_spellings_of_the_same_weights_go_on(weights, tmp_path, monkeypatch):
    resolved_with(tmp_path, classifier_checkpoint=weights, transfer_classifiers=f"[{weights}]")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for other in (f"{weights}/", "a/best", "./a/../a/best", tmp_path / "link" / "best"):
        same = resolved_with(tmp_path, classifier_checkpoint=other,
                             transfer_classifiers=f"[{other}]")  # fmt: skip
        check_same_run(tmp_path, same)
    (tmp_path / "a").rename(tmp_path / "moved")
    check_same_run(tmp_path, resolved_with(tmp_path, classifier_checkpoint="moved/best",
                                           transfer_classifiers="[moved/best]"))  # fmt: skip


def test_other_weights_at_the_same_path_are_refused(weights, tmp_path):
    text = resolved_with(tmp_path, classifier_checkpoint=weights)
    check_same_run(tmp_path, text)
    (weights / "info.json").write_text("{}")  # what is beside them counts not
    check_same_run(tmp_path, text)
    (weights / "classifier.ckpt").write_bytes(b"others")
    with pytest.raises(ConfigError, match="classifier_checkpoint .* with other files: give anoth"):
        check_same_run(tmp_path, text)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "classifier.ckpt").write_bytes(b"third")
    with pytest.raises(ConfigError, match=f"with classifier_checkpoint .*, now it is {tmp_path}/b"):
        check_same_run(tmp_path, resolved_with(tmp_path, classifier_checkpoint=tmp_path / "b"))


def test_recordings_that_were_moved_go_on_and_others_are_refused(tmp_path):
    for name, size in (("here", 10), ("copy", 10), ("other", 11)):
        (tmp_path / name / "tr").mkdir(parents=True)
        (tmp_path / name / "tr" / "1.wav").write_bytes(bytes(size))
    resolved_with(tmp_path, noise_folder=tmp_path / "here")
    check_same_run(tmp_path, resolved_with(tmp_path, noise_folder=tmp_path / "copy"))
    with pytest.raises(ConfigError, match="holds a run with noise_folder .*, now it is .*other: g"):
        check_same_run(tmp_path, resolved_with(tmp_path, noise_folder=tmp_path / "other"))
    with pytest.raises(ConfigError, match="holds a run with noise_folder .*, now it is null"):
        check_same_run(tmp_path, resolved_with(tmp_path, noise_folder="null"))


# ---- Stages of a recipe in one file ------------------------------------------------------------
RECIPE = """
width: 2
folder: here
stages:
    small:
        extends: main.yaml
        width: 3
    smaller:
        extends: small
        data: there
    common_part:
        more: 1
    both:
        extends: [smaller, common_part, other.yaml:one]
"""


@pytest.fixture
def stages(files):
    (files / "main.yaml").write_text("extends: base.yaml\nclassifier_yaml: parts/large.yaml\n")
    (files / "all.yaml").write_text(RECIPE)
    (files / "other.yaml").write_text("folder: other\nstages:\n    one: {data: other}\n")
    return files / "all.yaml"


def test_a_stage_has_what_it_extends_then_what_all_share_then_its_own(stages):
    small = settings(f"{stages}:small")
    assert small["seed"] == 1 and small["folder"] == "here" and small["width"] == 3
    assert "stages" not in small and "data" not in small and small["name"] == "large"
    smaller = settings(f"{stages}:smaller")
    assert smaller == small | {"data": "there"}
    both = settings(f"{stages}:both")
    assert both == small | {"data": "other", "more": 1, "folder": "other"}
    (stages.parent / "alone.yaml").write_text("extends: all.yaml:smaller\nwidth: 9\n")
    assert settings(stages.parent / "alone.yaml") == smaller | {"width": 9}
    assert stages_of(stages) == ("small", "smaller", "common_part", "both")
    assert stages_of(f"{stages}:small") == stages_of(stages) and not stages_of("hparams/lmac.yaml")
    assert stage_beside(f"{stages}:small", "both") == Path(f"{stages}:both")
    assert stage_beside("a/classifier.yaml", "lmac") == Path("a/lmac.yaml")


@pytest.mark.parametrize(
    "stage,message",
    [
        (":smal", "all.yaml: there is no stage smal, did you mean small?"),
        (":zzz", "there is no stage zzz, expected one of small, smaller, common_part, both."),
        ("", "all.yaml: name a stage as recipe.yaml:stage, expected one of small, smaller,"),
        (":", "all.yaml: name a stage as recipe.yaml:stage"),
    ],
)
def test_a_stage_that_there_is_not_is_named(stages, stage, message):
    with pytest.raises(ConfigError, match=message) as error:
        merge(f"{stages}{stage}")
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="base.yaml has no stages: leave out :lmac."):
        merge(f"{stages.parent}/base.yaml:lmac")
    stages.write_text("stages:\n    a: {extends: b}\n    b: {extends: a}\n")
    with pytest.raises(ConfigError, match="all.yaml:a names itself through .*:a → .*:b"):
        merge(f"{stages}:a")


# ---- Interpreters ------------------------------------------------------------------------------
def methods_of(path):
    return {k: v.tag.value for k, v in merge(path)["interpreters"].items()}


def test_interpreters_are_merged_by_name(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "interpreters:\n    A: !name:x.A\n        steps: 1\n    A FT: !name:x.A\n    B: !name:x.B\n"
    )
    (tmp_path / "mine.yaml").write_text(
        "extends: base.yaml\ninterpreters:\n    B: null\n    A: !name:y.A\n    C: !name:y.C\n"
        "    A (two): !name:y.A2\n    A FT (two): !name:y.A3\n"
    )
    (tmp_path / "again.yaml").write_text(
        "extends: mine.yaml\ninterpreters:\n    B: !name:z.B\n    A (two): null\n"
    )
    assert list(methods_of(tmp_path / "base.yaml")) == ["A", "A FT", "B"]
    mine = methods_of(tmp_path / "mine.yaml")
    assert mine == {"A": "!name:y.A", "A (two)": "!name:y.A2", "A FT": "!name:x.A",
                    "A FT (two)": "!name:y.A3", "C": "!name:y.C"}  # fmt: skip
    assert list(mine) == ["A", "A (two)", "A FT", "A FT (two)", "C"]  # variants stand together
    assert list(methods_of(tmp_path / "again.yaml")) == ["A", "A FT", "A FT (two)", "C", "B"]
    assert "steps" not in merge(tmp_path / "mine.yaml")["interpreters"]["A"]  # an entry is whole
    assert list(methods_of(tmp_path / "base.yaml")) == ["A", "A FT", "B"]  # and nothing leaks
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\ninterpreters: {D: null}\n")
    with pytest.raises(ConfigError, match="mine.yaml: interpreters: there is no D that could be"):
        merge(tmp_path / "mine.yaml")


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


def test_renamed_settings_are_named(files):
    assert len(RENAMED) >= 13 and {*RENAMED.values()} <= declared().keys()
    assert not RENAMED.keys() & declared().keys()
    for old, new in RENAMED.items():
        for words in ([f"--{old}=1"], [f"--{old}"], [f"--{old}", "1"]):
            with pytest.raises(ConfigError, match=f"^--{old} is now --{new}.$"):
                parse(["hparams/lmac.yaml", *words])
        (files / "old.yaml").write_text(f"extends: recipe.yaml\n{old}: 3\n")
        with pytest.raises(ConfigError, match=f"old.yaml: {old} is now {new}.$"):
            load(files / "old.yaml")


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
    assert (
        experiment_of("recipes/ESC10_aisfx/recipe.yaml:lmac_finetune_waveform") == "lmac_finetune"
    )
    assert experiment_of("recipes/ESC50_published/recipe.yaml:table1_id") == "tables"
    assert experiment_of("hparams/base.yaml") is None is experiment_of(files / "main.yaml")
    mine = files / "mine.yaml"
    mine.write_text(f"extends: {os.path.relpath('recipes/demo/recipe.yaml:l2i', files)}\n")
    assert experiment_of(mine) == "l2i"
    for name in EXPERIMENTS:
        assert experiment_of(f"hparams/{name}.yaml") == name


def test_the_decoders_own_all_that_their_files_set():
    files = sorted((lmac.settings.compose.HPARAMS / "decoders").glob("*.yaml"))
    keys = {k for f in files for k in ruamel.yaml.YAML().load(f.read_text())} - {"extends"}
    assert len(files) == 3 and keys == lmac.settings.compose.SLOTS["decoder_yaml"]
