"""The same command twice gives the same; each results folder says what it came of."""

import hashlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path

import pytest
import torch

from benchmarks.soak._runs import command, output
from benchmarks.soak.kills import difference
from lmac.evaluation.runs.publish import publish
from lmac.io import provenance

CHAIN = ("classifier", "L-MAC", "evaluation")
METHODS = "--methods=[L-MAC,SmoothGrad,Random]"
# Written with the folder's own path.
OF_A_PLACE = ("hyperparams.yaml", "provenance.json")


def run(stage, root, *more):
    main, words = command(stage, root)
    words += [METHODS] if stage == "evaluation" else ["--number_of_epochs=1"]
    main([*words, *more])


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """Two folders with the results of one chain of commands, the demo's."""
    roots = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for root in roots:
        torch.rand(3)  # what was drawn before must not matter
        for stage in CHAIN:
            run(stage, root)
    return roots


@pytest.mark.parametrize("stage", CHAIN)
def test_the_same_command_gives_the_same(twice, stage):
    one, two = (output(stage, root) for root in twice)
    assert difference(one, two, OF_A_PLACE) is None
    for name in ("manifest.csv", "scenario.csv"):
        if (one / name).exists():
            assert (one / name).read_bytes() == (two / name).read_bytes()


def test_another_seed_gives_another(twice, tmp_path):
    run("classifier", twice[1], "--seed=7", f"--output_folder={tmp_path}")
    weights = Path("best", "classifier.ckpt")
    assert (tmp_path / weights).read_bytes() != (
        output("classifier", twice[1]) / weights
    ).read_bytes()


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def runs(folder):
    return json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["runs"]


def test_a_results_folder_says_what_it_came_of(twice):
    root = twice[0]
    folder = output("evaluation", root)
    (record,) = runs(folder)
    assert record["overrides"]["classifier_width"] == "2" and record["yaml"].endswith("ation.yaml")
    assert record["overrides"]["methods"] == "['L-MAC', 'SmoothGrad', 'Random']"
    assert record["packages"]["speechbrain"] == metadata.version("speechbrain")
    assert {"torch", "numpy", "captum"} <= set(record["packages"])
    assert record["python"] == platform.python_version() and record["device"] == "cpu"
    assert record["threads"] == torch.get_num_threads() and record["processes"] == 1
    used = record["checkpoints"]["lmac_checkpoint"]
    assert used == {"decoder.ckpt": sha256(output("L-MAC", root) / "best" / "decoder.ckpt")}
    assert set(record["checkpoints"]["classifier_checkpoint"]) == {
        *("classifier.ckpt", "embedding_model.ckpt")
    }
    assert record["data"]["number"] == 50
    assert record["data"]["scenario"] == sha256(folder / "scenario.csv")
    assert record["started"] <= record["ended"]
    others = [runs(output(stage, twice[1]))[0]["data"]["manifest"] for stage in CHAIN]
    assert set(others) == {record["data"]["manifest"]}  # wherever the data lies


def test_a_clip_more_or_of_another_size_is_other_data(twice, tmp_path):
    path = output("classifier", twice[0]) / "manifest.csv"
    lines = path.read_text().splitlines(keepends=True)
    (tmp_path / "fewer.csv").write_text("".join(lines[:-1]))
    grown = lines[-1].rpartition(",")[0] + ",1234\n"
    (tmp_path / "other.csv").write_text("".join([*lines[:-1], grown]))
    digests = [provenance.data_digest(p) for p in (path, *sorted(tmp_path.iterdir()))]
    assert len({d["manifest"] for d in digests}) == 3
    assert [d["number"] for d in digests] == [50, 49, 50]


def test_a_finished_run_that_is_started_again_changes_nothing(twice):
    root = twice[0]
    for stage in CHAIN:
        left_out = ("log.txt", "gallery")
        files = [p for p in output(stage, root).rglob("*") if p.is_file()]
        before = {p: p.read_bytes() for p in files if not set(p.parts) & set(left_out)}
        run(stage, root)
        assert {p: p.read_bytes() for p in before} == before


def test_a_killed_run_stays_one_record_and_other_code_begins_another(tmp_path, monkeypatch):
    arguments = tmp_path, "hparams/lmac.yaml", {"seed": 1}, "seed: 1"
    provenance.begin(*arguments)
    first = runs(tmp_path)
    assert first[0]["ended"] is None
    provenance.begin(*arguments)
    assert runs(tmp_path) == first
    monkeypatch.setattr(provenance, "_code", lambda: {"commit": "abc", "dirty": True})
    provenance.begin(*arguments)
    assert [r["commit"] for r in runs(tmp_path)] == [first[0]["commit"], "abc"]


def test_what_is_published_of_it_has_no_path_of_the_machine(twice, tmp_path):
    source = tmp_path / "results" / "evaluation"
    source.mkdir(parents=True)
    os.symlink(output("evaluation", twice[0]), source / "mixtures_stft")
    publish(source.parent, tmp_path / "published")
    text = (tmp_path / "published" / "mixtures_stft" / "provenance.json").read_text()
    assert str(twice[0]) not in text and "lmac/best" in text
