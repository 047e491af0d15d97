"""Several seeds by one command, and several commands at once; stages are made up here."""

import json
import statistics
from pathlib import Path

import pandas as pd
import pytest
from conftest import at_work_in
from planted import plant

import lmac.evaluation.runs.folds
import lmac.evaluation.runs.repeats
import lmac.evaluation.runs.seeds
from lmac.evaluation.folder import EvaluationFolder
from lmac.evaluation.runs.folds import Folds
from lmac.settings.load import ConfigError, parse, settings
from metrics.significance import against_reference, footnote

RECIPE = "recipes/ESC10/recipe.yaml:classifier"
METHODS = ["L-MAC", "IG", "GradCAM"]
ACCURACY = {1: 0.5, 2: 0.75, 3: 0.625, 7: 0.25}


@pytest.fixture
def calls(monkeypatch):
    """Stages leave what they would leave: an accuracy, or the rows of clips."""
    made = []

    def launch(command, processes):
        name, yaml, *words = command
        made.append((name, processes, words))
        plain = settings(yaml, parse([yaml, *words])[2])
        folder = Path(plain["output_folder"])
        seed = plain["seed"]
        if name == "train-classifier":
            (folder / "best").mkdir(parents=True)
            info = {"test": {"accuracy": ACCURACY.get(seed, 0.5), "clips": 80}}
            (folder / "best/info.json").write_text(json.dumps(info))
        else:
            rows = plant(folder, plain["scenario"], plain["domain"], METHODS, clips=40, seed=seed)
            evaluation = EvaluationFolder(folder)
            evaluation.write_table(evaluation.summary(rows, 10), "", {})
        return 0

    monkeypatch.setattr(lmac.evaluation.runs.repeats, "launch", launch)
    return made


def words(folder, *more):
    return [RECIPE, "--data_folder=/data", f"--results_folder={folder}", *more]


def test_each_seed_is_trained_and_evaluated_on_the_same_clips(tmp_path, calls, capsys):
    line = words(tmp_path, "--seeds=[1,2,3]", "--stages=[classifier,evaluation]")
    lmac.evaluation.runs.seeds.main(line)
    assert [call[0] for call in calls] == ["train-classifier", "evaluate"] * 3
    for number, (module, processes, given) in enumerate(calls):
        seed = number // 2 + 1
        assert f"--seed={seed}" in given and processes == 1
        assert f"--results_folder={tmp_path}/seeds/seed_{seed}" in given
        assert ("--scenario_seed=1234" in given) == (module == "evaluate")
    root = tmp_path / "seeds"
    rows, mean = (pd.read_csv(root / f"classifier{end}.csv") for end in ("_seeds", ""))
    assert rows["seed"].tolist() == [1, 2, 3]
    values = [ACCURACY[s] for s in (1, 2, 3)]
    assert mean["test accuracy"][0] == pytest.approx(statistics.mean(values))
    assert mean["test accuracy SD"][0] == pytest.approx(statistics.stdev(values))
    assert "| mean ± SD | 0.625 ± 0.125 |" in (root / "classifier.md").read_text()

    tables = [
        pd.read_csv(root / f"seed_{s}/evaluation/mixtures_stft/metrics.csv") for s in (1, 2, 3)
    ]
    summary = pd.read_csv(root / "evaluation_mixtures_stft.csv").set_index("method")
    for method in METHODS:
        values = [t[t["method"] == method]["FF"].mean() for t in tables]
        assert summary["FF"][method] == pytest.approx(statistics.mean(values))
        assert summary["FF SD"][method] == pytest.approx(statistics.stdev(values))
    text = (root / "evaluation_mixtures_stft.md").read_text()
    assert "3 of 3 seeds" in text and "the same clips, drawn with seed 1234" in text
    note = footnote(against_reference(pd.concat(tables)), seeds=3)
    assert f"mixtures, stft: {note}" in text and "averaged over 3 seeds first" in note

    lmac.evaluation.runs.seeds.main(line)
    assert len(calls) == 6 and "seed 2 (2 of 3), evaluation: finished" in capsys.readouterr().out


def test_tables_of_another_domain_or_scenario_are_beside_them(tmp_path, calls):
    for more in ((), ("--domain=mel",), ("--scenario=white_noise",)):
        stages = "--stages=[classifier,evaluation]"
        lmac.evaluation.runs.seeds.main(words(tmp_path, "--seeds=[1,2]", stages, *more))
    assert len(calls) == 2 + 3 * 2  # the classifiers are the same
    for name in ("mixtures_stft", "mixtures_mel", "white_noise_stft"):
        rows = pd.read_csv(tmp_path / f"seeds/evaluation_{name}_seeds.csv")
        assert set(rows["scenario"] + "_" + rows["domain"]) == {name}


def test_a_folder_that_all_seeds_would_share_is_refused(tmp_path, calls):
    """Before anything runs: each would write over the one before."""
    yaml = tmp_path / "classifier.yaml"
    yaml.write_text(f"extends: {Path(RECIPE).absolute()}\noutput_folder: results/mine\n")
    given = [str(yaml), "--data_folder=/data", f"--results_folder={tmp_path}", "--seeds=[1,2]"]
    with pytest.raises(ConfigError, match="output_folder is results/mine for every seed: begin it"):
        lmac.evaluation.runs.seeds.main(given)
    assert not calls


def test_jobs_of_an_array_each_run_their_own_and_the_tables_grow(tmp_path, calls):
    for number, seed in enumerate((2, 1)):
        lmac.evaluation.runs.seeds.main(words(tmp_path, "--seeds=[1,2]", f"--run=[{seed}]"))
        assert f"--seed={seed}" in calls[number][2] and len(calls) == number + 1
        text = (tmp_path / "seeds/classifier.md").read_text()
        assert f"{number + 1} of 2 seeds" in text
    assert "without seed" not in text


def test_a_classifier_that_is_not_trained_here_is_the_same_for_all(tmp_path, calls):
    given = "--classifier_checkpoint=/one/best"
    lmac.evaluation.runs.seeds.main(words(tmp_path, "--seeds=[1]", "--stages=[evaluation]", given))
    assert given in calls[0][2]
    with pytest.raises(ConfigError, match="--classifier_checkpoint is set for each seed"):
        lmac.evaluation.runs.seeds.main(words(tmp_path, "--seeds=[1]", given))


@pytest.mark.parametrize(
    "more,message",
    [
        ([], "seeds is None: expected different whole numbers"),
        (["--seeds=[]"], "seeds is .*: expected different"),
        (["--seeds=[1,1]"], "expected different whole numbers"),
        (["--seeds=[a]"], "expected different whole numbers"),
        (["--seeds=[-1]"], "expected different whole numbers from 0 on"),
        (["--seeds=[1,2]", "--run=[3]"], "run: 3 is none of --seeds=.1, 2."),
        (["--seeds=[1]", "--seed=3"], "--seed is set for each seed"),
        (["--seeds=[1]", "--processes=0"], "processes is 0: expected a whole number above 0"),
        (["--seeds=[1]", "--collect_only=True"], "classifier is finished for no seed"),
    ],
)
def test_mistakes_get_one_sentence(more, message, tmp_path, calls):
    with pytest.raises(ConfigError, match=message) as error:
        lmac.evaluation.runs.seeds.main(words(tmp_path, *more))
    assert "\n" not in str(error.value) and not calls


def test_another_data_set_brings_its_keys(tmp_path, calls):
    other = ["--dataset_yaml=hparams/datasets/builtin.yaml", "--clips_per_class=5"]
    line = ["hparams/classifier.yaml", f"--results_folder={tmp_path}", "--data_folder=/data"]
    lmac.evaluation.runs.seeds.main([*line, "--seeds=[1]", *other])
    assert set(other) <= set(calls[0][2])
    with pytest.raises(ConfigError, match="Unknown override --clips_per_class: none of"):
        lmac.evaluation.runs.seeds.main(words(tmp_path, "--seeds=[1]", other[1]))


def test_what_another_process_runs_is_left_to_it(tmp_path, calls, capsys):
    line = words(tmp_path, "--seeds=[1,2]")
    (tmp_path / "seeds/seed_1").mkdir(parents=True)
    with at_work_in(tmp_path / "seeds/seed_1"):
        lmac.evaluation.runs.seeds.main(line)
    out = capsys.readouterr().out
    assert "seed 1 (1 of 2): another process is at it" in out and "1 of 2 seeds" in out
    assert [call[2] for call in calls if "--seed=1" in call[2]] == []
    lmac.evaluation.runs.seeds.main(line)
    assert len(calls) == 2 and "2 of 2 seeds" in capsys.readouterr().out
    # All are with others: nothing to collect, no failure.
    (tmp_path / "new/seeds/seed_1").mkdir(parents=True)
    with at_work_in(tmp_path / "new/seeds/seed_1"):
        lmac.evaluation.runs.seeds.main(words(tmp_path / "new", "--seeds=[1]"))
    assert "classifier: others are at it" in capsys.readouterr().out and len(calls) == 2


def test_whoever_writes_the_tables_last_has_seen_all(tmp_path, calls, monkeypatch):
    """Another job finishes while this one writes."""
    line = words(tmp_path, "--seeds=[1,2]")
    collect = lmac.evaluation.runs.seeds.Seeds._collect

    def slow(self, stage, done):
        text = collect(self, stage, done)
        if done == [1]:
            self.run(stage, 2)
        return text

    monkeypatch.setattr(lmac.evaluation.runs.seeds.Seeds, "_collect", slow)
    lmac.evaluation.runs.seeds.main([*line, "--run=[1]"])
    assert "2 of 2 seeds" in (tmp_path / "seeds/classifier.md").read_text()


def test_folds_run_at_once_and_on_several_processes(tmp_path, calls, monkeypatch):
    monkeypatch.setattr(Folds, "results", lambda *_: pd.DataFrame([{"test accuracy": 0.5}]))
    lmac.evaluation.runs.folds.main(words(tmp_path, "--folds=[3]", "--processes=2"))
    lmac.evaluation.runs.folds.main(words(tmp_path, "--folds=[2]"))
    assert [call[1] for call in calls] == [2, 1]
    table = pd.read_csv(tmp_path / "folds/classifier_folds.csv")
    assert table["fold"].tolist() == [2, 3]
