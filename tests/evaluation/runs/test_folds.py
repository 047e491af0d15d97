"""Cross-validation by one command: roles of the folds, resumption, means."""

import importlib
import json
import signal
import statistics
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from layouts import recipe_stages, write_esc50

import lmac.evaluation.runs.folds
import lmac.evaluation.runs.repeats
from lmac.evaluation.runs.folds import Folds
from lmac.settings.commands import COMMANDS
from lmac.settings.load import ConfigError
from metrics.repeats import over_repeats, to_markdown

TINY = ["--classifier_width=2", "--out_n_neurons=3", "--signal_length_s=1.0", "--device=cpu",
        "--batch_size=4", "--number_of_epochs=1"]  # fmt: skip
RECIPE = "recipes/ESC10/recipe.yaml:classifier"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_esc50(tmp_path_factory.mktemp("data") / "ESC-50")


@pytest.fixture
def calls(monkeypatch):
    """Stages run in this process; ``fail`` is the number of the call that is killed."""
    calls = SimpleNamespace(made=[], fail=None)

    def run(command, processes):
        calls.made.append(command)
        if len(calls.made) == calls.fail:
            raise KeyboardInterrupt
        importlib.import_module(COMMANDS[command[0]].module).main(command[1:])
        return 0

    monkeypatch.setattr(lmac.evaluation.runs.repeats, "launch", run)
    return calls


def study(path=RECIPE, overrides=(), **options):
    words = [f"--{key}={value}" for key, value in dict(overrides).items()]
    return Folds(path, ["classifier"], {**Folds.options, **options}, words, dict(overrides))


def test_every_clip_is_tested_once_and_never_with_its_training():
    for path, n in (("recipes/UrbanSound8K/recipe.yaml:classifier", 10), (RECIPE, 5)):
        for shift in (-1, 2):
            one = study(path, valid_shift=shift)
            assert one.cycle == list(range(1, n + 1))
            for fold in one.cycle:
                roles = one.of(fold)
                parts = [roles[f"{split}_folds"] for split in ("train", "valid", "test")]
                assert sorted(sum(parts, [])) == one.cycle  # each fold in one part only
                assert parts[2] == [fold] and parts[1] == [(fold - 1 + shift) % n + 1]
    assert study(RECIPE).of(1)["valid_folds"] == [5]  # cyclic
    assert study(cycle=[2, 4, 5]).of(4)["train_folds"] == [5]


def test_what_is_explained():
    published, unbiased = study().of(5), study(targets="test").of(5)
    assert (published["target_folds"], published["contaminant_folds"]) == ([4], [5])
    assert (unbiased["target_folds"], unbiased["contaminant_folds"]) == ([5], [4])


def test_mean_and_standard_deviation_by_hand():
    values = [80.0, 84.0, 91.0]
    rows = pd.DataFrame({"fold": [1, 2, 3], "test accuracy": values, "AI": [1.0, None, 3.0]})
    line = over_repeats(rows, []).iloc[0]
    assert line["test accuracy"] == pytest.approx(85.0) and line["folds"] == 3
    assert line["test accuracy SD"] == pytest.approx(statistics.stdev(values))
    assert line["test accuracy SD"] == pytest.approx((31.0) ** 0.5)  # (25 + 1 + 36) / (3 - 1)
    assert (line["AI"], line["AI folds"]) == (2.0, 2)
    text = to_markdown(rows, over_repeats(rows, []), [])
    assert "| mean ± SD | 85.000 ± 5.568 | 2.00 ± 1.41 (2 folds) |" in text
    single = over_repeats(rows[:1], []).iloc[0]
    assert pd.isna(single["test accuracy SD"]) and single["test accuracy"] == 80
    methods = pd.concat([rows.assign(method="A"), rows.assign(method="B", AI=9.0)])
    summary = over_repeats(methods, ["method"])
    assert summary["method"].tolist() == ["A", "B"] and summary["AI"].tolist() == [2.0, 9.0]
    backwards = over_repeats(methods.iloc[::-1], ["method"])  # in order of appearance
    assert backwards["method"].tolist() == ["B", "A"]
    assert "| B | 85.000 ± 5.568 | 9.00 ± 0.00 |" in to_markdown(methods, summary, ["method"])


def test_the_whole_pipeline_killed_and_gone_on(data, tmp_path, calls, capsys):
    words = [RECIPE, f"--data_folder={data}", f"--results_folder={tmp_path}", "--folds=[1,3]",
             "--stages=[classifier,lmac,evaluation]", *TINY, "--decoder_hidden=4", "--listen=0",
             "--methods=[L-MAC,All-ones]", "--n_boot=10"]  # fmt: skip
    calls.fail = 5
    with pytest.raises(KeyboardInterrupt):
        lmac.evaluation.runs.folds.main(words)
    calls.fail = None
    lmac.evaluation.runs.folds.main(words)
    modules = [call[0] for call in calls.made]
    whole = ["train-classifier", "train-lmac", "evaluate"]
    assert modules == [*whole, *whole[:2], *whole[1:]]  # only what was killed is repeated
    lmac.evaluation.runs.folds.main(words)
    assert len(calls.made) == 7  # nothing any more
    assert "lmac: finished" in capsys.readouterr().out

    # Each fold uses its own classifier and decoder, and its own folds.
    root = tmp_path / "folds"
    for fold, valid in ((1, 5), (3, 2)):
        info = json.loads((root / f"fold_{fold}/classifier/best/info.json").read_text())
        assert info["test"]["folds"] == [fold] and info["valid"]["folds"] == [valid]
        assert info["train_folds"] == [f for f in range(1, 6) if f not in (fold, valid)]
        scenario = pd.read_csv(root / f"fold_{fold}/evaluation/mixtures_stft/scenario.csv")
        assert set(scenario["target"].str[0]) == {str(valid)}
        assert set(scenario["contaminant"].str[0]) == {str(fold)}
    for call in calls.made:
        if call[0] == "train-classifier":
            assert not any("methods" in w or "hidden" in w for w in call)  # it has no such key

    rows, mean = (pd.read_csv(root / f"classifier{end}.csv") for end in ("_folds", ""))
    assert rows["fold"].tolist() == [1, 3]
    for fold, accuracy in zip(rows["fold"], rows["test accuracy"], strict=True):
        info = json.loads((root / f"fold_{fold}/classifier/best/info.json").read_text())
        assert accuracy == pytest.approx(info["test"]["accuracy"])
    accuracies = rows["test accuracy"].tolist()
    assert mean["test accuracy"][0] == pytest.approx(statistics.mean(accuracies))
    assert mean["test accuracy SD"][0] == pytest.approx(statistics.stdev(accuracies))
    text = (root / "classifier.md").read_text()
    for stated in ("2 of 5 folds, without fold 2, 4, 5", "ddof 1", "fold k-1 (cyclic) selects"):
        assert stated in text, stated
    summaries = [
        pd.read_csv(root / f"fold_{fold}/evaluation/mixtures_stft/summary.csv").set_index("method")
        for fold in (1, 3)
    ]
    mean = pd.read_csv(root / "evaluation_mixtures_stft.csv").set_index("method")
    for name in ("FF", "MM"):
        values = [s[name]["L-MAC"] for s in summaries]
        assert mean[name]["L-MAC"] == pytest.approx(statistics.mean(values))
        assert mean[f"{name} SD"]["L-MAC"] == pytest.approx(statistics.stdev(values))
    assert "| mixtures | stft | L-MAC |" in (root / "evaluation_mixtures_stft.md").read_text()

    # Other settings are not taken for finished, nor for those of the tables.
    with pytest.raises(ConfigError, match="holds a run with seed 1234, now it is 7"):
        lmac.evaluation.runs.folds.main([*words, "--seed=7"])


def test_in_a_process_of_its_own(data, tmp_path, capfd):
    words = [RECIPE, f"--data_folder={data}", f"--results_folder={tmp_path}", "--folds=2", *TINY]
    lmac.evaluation.runs.folds.main(words)
    out = capfd.readouterr().out
    assert "== test fold 2 (1 of 1), classifier" in out and "Accuracy: " in out
    assert "1 of 5 folds, without fold 1, 3, 4, 5" in out and "| mean ± SD |" in out


def test_a_stage_that_fails_ends_it_all(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lmac.evaluation.runs.repeats, "launch", lambda *_: 3)
    with pytest.raises(SystemExit, match="3"):
        lmac.evaluation.runs.folds.main(
            [RECIPE, f"--data_folder={data}", f"--results_folder={tmp_path}"]
        )
    error = "classifier of test fold 1 failed. The same command goes on from here."
    assert error in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json")) and not list(tmp_path.rglob("*.md"))


@pytest.mark.parametrize(
    "words,message",
    [
        (["--folds=[1,9]"], "there is no fold 9, expected some of .1, 2, 3, 4, 5."),
        (["--valid_shift=5"], "5 folds and valid_shift 5: expected"),
        (["--cycle=[1,2]"], "2 folds and valid_shift -1: expected at least three"),
        (["--targets=train"], "targets is 'train': expected valid or test"),
        (["--train_folds=[1]"], "--train_folds is set for each fold"),
        (["--output_folder=x"], "--output_folder is set for each fold"),
        (["--stages=[lmac]", "--classifier_checkpoint=x"], "--classifier_checkpoint is set for"),
        (["--mehtods=[L-MAC]"], "Unknown override --mehtods: none of classifier has it"),
        (["--stages=[nothing]"], "recipe.yaml: there is no stage nothing, expected one of class"),
        (["--folds", "[1]"], "Write --folds=value"),
    ],
)
def test_mistakes_get_one_sentence(words, message, calls):
    with pytest.raises(ConfigError, match=message) as error:
        lmac.evaluation.runs.folds.main([RECIPE, "--data_folder=x", *words])
    assert "\n" not in str(error.value) and not calls.made


def test_a_yaml_that_nothing_runs_is_named(tmp_path):
    (tmp_path / "odd.yaml").write_text("seed: 1\n")
    with pytest.raises(ConfigError, match="odd.yaml: expected an experiment of classifier, lmac"):
        lmac.evaluation.runs.repeats.runner_of(tmp_path / "odd.yaml")
    for path in recipe_stages():
        importlib.import_module(lmac.evaluation.runs.repeats.runner_of(path).module)


def test_a_stage_is_started_as_the_command_it_is(monkeypatch):
    started, before = [], signal.getsignal(signal.SIGTERM)

    def run(words, env):
        started.append(words)
        with pytest.raises(SystemExit) as end:  # ends the stage with the command
            signal.raise_signal(signal.SIGTERM)
        return SimpleNamespace(returncode=end.value.code)

    monkeypatch.setattr(lmac.evaluation.runs.repeats, "subprocess", SimpleNamespace(run=run))
    launch = lmac.evaluation.runs.repeats.launch
    assert launch(["l2i", "l2i.yaml", "--seed=1"]) == 143
    assert launch(["train-lmac", "lmac.yaml"]) == 143
    assert launch(["train-lmac", "lmac.yaml"], processes=3) == 143
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=3"]
    assert started == [
        [sys.executable, "-m", "lmac", "l2i", "l2i.yaml", "--seed=1"],
        [sys.executable, "-m", "lmac", "train-lmac", "lmac.yaml"],
        [sys.executable, *several, "-m", "lmac", "train-lmac", "lmac.yaml"],
    ]
    assert signal.getsignal(signal.SIGTERM) == before
