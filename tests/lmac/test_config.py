"""Merged YAML files and their overrides."""

import pytest

from lmac.config import ConfigError, check_same_run, load, merge, parse, settings


@pytest.fixture
def files(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "base.yaml").write_text("seed: 1\nfolder: !ref out/<seed>\nwidth: 64\n")
    (tmp_path / "parts" / "small.yaml").write_text(
        "name: small\nlayer: !new:torch.nn.Linear\n  in_features: !ref <width>\n  out_features: 2\n"
    )
    (tmp_path / "parts" / "large.yaml").write_text("name: large\nlayer: null\n")
    (tmp_path / "main.yaml").write_text(
        "common_yaml: base.yaml\npart_yaml: parts/small.yaml\nwidth: 8\ndata: !PLACEHOLDER\n"
    )
    (tmp_path / "recipe.yaml").write_text(
        "experiment_yaml: main.yaml\npart_yaml: parts/large.yaml\ndata: here\n"
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
    hparams, _ = load("main.yaml", {"data": "x", "part_yaml": "parts/large.yaml"})
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
        ({"part_yaml": "none.yaml"}, "no YAML file .*none.yaml, named by .*main.yaml"),
        ({}, "needs a value for data: add --data="),
    ],
)
def test_mistakes_get_one_sentence(files, overrides, message):
    with pytest.raises(ConfigError, match=message) as error:
        load(files / "main.yaml", overrides)
    assert "\n" not in str(error.value)


def test_broken_files_are_named(files):
    (files / "loop.yaml").write_text("a_yaml: loop.yaml\n")
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
        "common_yaml: base.yaml\ndata: !PLACEHOLDER\nlist: [a, b]\nwhere: !ref <folder>/x\n"
        "thing: !new:no.such.Class\n    size: !ref <width>\n"
    )
    found = settings(files / "main.yaml", {"seed": 7})
    assert found == {
        "seed": 7, "folder": "out/7", "width": 64, "data": None, "list": ["a", "b"],
        "where": "out/7/x",
    }  # fmt: skip
