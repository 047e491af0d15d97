"""The check against planted cues: masks whose score is known, and a classifier that is made up."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from conftest import make_explained

from data_prep.planted_cues import CUES, generate
from interpreters.base import Interpreter
from interpreters.constant import AllOnes, Random
from lmac.evaluation.checks import planted_cues
from lmac.evaluation.checks.planted_cues import (
    Planted,
    check,
    clips_of,
    controls,
    first_of_each,
    measure,
    report,
    summary_of,
)
from lmac.evaluation.folder import EvaluationFolder
from metrics.planted import cue_cells

N, SR = 24000, 16000


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder, manifest of folds 5 and 6, and a data set of its clips at another level."""
    folder = tmp_path_factory.mktemp("planted") / "data"
    table = pd.read_csv(generate(folder, clips_per_class=2, duration_s=1.5))
    table = table[table["fold"] > 4].reset_index(drop=True)
    table["ID"] = table["filename"].str.removesuffix(".wav")
    scenario = table.rename(columns={"category": "label"})[["ID", "label", "fold"]]
    truth = Planted(folder, N, SR)
    sounds = [truth.sounds(ID)[0] for ID in scenario["ID"]]
    return folder, scenario, [{"sig": x / x.abs().max()} for x in sounds]


@pytest.fixture(scope="module")
def explained():
    return make_explained(n_classes=10)


def batch(explained, data, label):
    """The clips of one class: a row of fold 5 at +6 and -6 dB, and of fold 6."""
    folder, scenario, dataset = data
    own = scenario[scenario["label"] == label]
    return next(clips_of(explained, Planted(folder, N, SR), dataset, own, 4, "cpu"))


@pytest.mark.parametrize("label", CUES)
def test_the_cells_of_the_cue_are_a_perfect_mask(explained, data, label):
    IDs, clips, parts = batch(explained, data, label)
    cells = cue_cells(parts["cue"], parts["background"])
    assert (cells.flatten(1).sum(1) > 20).all()
    found = measure(explained, clips, cells.float(), parts)
    for name in ("auc", "ap", "pointing"):
        assert found[name].tolist() == [1] * 4, name
    assert (found["cue_kept"] > 0.8).all() and (found["snr_gain"] > 5).all()
    assert (found["background_kept"] < 0.2).all() and found["found"].tolist() == [1] * 4
    # Two cues are in fold 6 alone.
    assert found["both_kept"].isnan().tolist() == [ID[0] == "5" for ID in IDs]
    assert (found["both_kept"][2:] == 1).all()
    opposite = measure(explained, clips, 1 - cells.float(), parts)
    assert opposite["auc"].tolist() == [0] * 4 and opposite["pointing"].tolist() == [0] * 4
    assert (opposite["snr_gain"] < 0).all()


def test_one_of_two_cues_is_not_both(explained, data):
    IDs, clips, parts = batch(explained, data, "tone_1200")
    frames = parts["first"].amax(2, keepdim=True) > 0
    found = measure(explained, clips, frames.expand_as(clips.X).float(), parts)
    assert found["both_kept"][2:].tolist() == [0, 0]
    # As loud as one another.
    assert found["cue_kept"][2:].tolist() == pytest.approx([0.5, 0.5], abs=0.02)


def test_parts_are_at_the_level_that_is_explained(explained, data):
    _, clips, parts = batch(explained, data, "noise_1800")
    found = measure(explained, clips, torch.ones_like(clips.X), parts)
    for name in ("cue_kept", "background_kept"):
        assert found[name].tolist() == pytest.approx([1] * 4)
    assert found["snr_gain"].tolist() == pytest.approx([0] * 4, abs=1e-9)
    assert found["AI"].tolist() == [0] * 4 and found["Fid-In"].tolist() == [1] * 4
    # Where the cue stands alone, X is the cue's.
    alone = parts["cue"] > parts["background"] + 3
    assert alone.any()
    torch.testing.assert_close(clips.X[alone], parts["cue"][alone], rtol=0.1, atol=0)


def fake_classify(explained, wav):
    """Decides for the first cue, whatever it is given."""
    return torch.eye(10)[[0] * len(wav)]


def test_controls_of_a_classifier_that_never_listens(explained, data, monkeypatch):
    folder, scenario, _ = data
    monkeypatch.setattr(planted_cues, "classify", fake_classify)
    facts = controls(explained, Planted(folder, N, SR), list(CUES), scenario, 16, "cpu")
    assert facts[["accuracy", "background_alone", "moved"]].mean().tolist() == pytest.approx(
        [0.1] * 3
    )
    assert set(facts["setting"]) == {"one cue", "two reasons"}


class Counting(Interpreter):
    calls = 0

    def explain(self, X, target, phase=None):
        Counting.calls += 1
        return torch.zeros_like(X)


def test_rows_are_kept_and_a_new_method_is_the_only_one_computed(
    explained, data, tmp_path, monkeypatch
):
    folder, scenario, dataset = data
    truth = Planted(folder, N, SR)
    monkeypatch.setattr(planted_cues, "classify", fake_classify)
    setting = SimpleNamespace(
        explained=explained,
        scenario=scenario,
        dataset=dataset,
        device="cpu",
        labels=list(CUES),
        interpreters={"none": Counting(explained)},
    )
    out = EvaluationFolder(tmp_path)
    rows, _ = check(setting, truth, out, None, 8, 0)
    assert len(rows) == 40 and Counting.calls == 5 and rows["counts"].sum() == 4
    setting.interpreters |= {"All-ones": AllOnes(explained), "Random": Random(explained)}
    rows, facts = check(setting, truth, out, None, 8, 0)
    assert len(rows) == 120 and Counting.calls == 5
    summary = summary_of(rows, 10)
    assert len(summary) == 3 * 4 and (summary["n"] == 1).all()
    assert list(summary.columns[:5]) == ["method", "snr_db", "setting", "auc", "ap"]
    ones = summary[summary["method"] == "All-ones"]
    assert (ones["cue_kept"] == 1).all() and (ones["auc"] == 0.5).all() and (ones["MM"] == 1).all()
    text = report(summary, facts, "about")
    assert "## One cue, +6 dB" in text and "## Two reasons, -6 dB" in text
    assert "10 clips, 1 counted. Decided for the cue's class: 0.10" in text


def test_some_clips_are_the_first_of_every_class(data):
    scenario = data[1]
    some = first_of_each(scenario, 20)
    assert (some.groupby("label").size() == 2).all() and set(some["fold"]) == {5}
    assert first_of_each(scenario, None) is scenario


def test_another_data_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="meta/planted.csv: give a YAML whose dataset_yaml is"):
        Planted(tmp_path, N, SR)
