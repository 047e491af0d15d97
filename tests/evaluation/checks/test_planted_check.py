"""The check against planted cues: masks whose score is known, and a classifier that is made up."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from conftest import make_explained

from data_prep.planted_cues import CUES, generate
from interpreters.base import Interpreter
from interpreters.constant import AllOnes, Random
from lmac.core.scoring import analyse_clips
from lmac.evaluation.checks import planted_cues
from lmac.evaluation.checks.planted_cues import (
    Planted,
    PlantedCues,
    controls,
    first_of_each,
    parts_of,
    values_of,
)
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
    return folder, scenario, [{"sig": x / x.abs().max(), "clean": x} for x in sounds]


@pytest.fixture(scope="module")
def explained():
    return make_explained(n_classes=10)


def batch(explained, data, label):
    """The clips of one class: a row of fold 5 at +6 and -6 dB, and of fold 6."""
    folder, scenario, dataset = data
    own = scenario[scenario["label"] == label]
    sig = torch.stack([dataset[i]["sig"] for i in own.index[:4]])
    IDs = own["ID"].tolist()[:4]
    parts = parts_of(explained, Planted(folder, N, SR), IDs, sig)
    return IDs, analyse_clips(explained, sig), parts


@pytest.mark.parametrize("label", CUES)
def test_the_cells_of_the_cue_are_a_perfect_mask(explained, data, label):
    IDs, clips, parts = batch(explained, data, label)
    cells = cue_cells(parts["cue"], parts["background"])
    assert (cells.flatten(1).sum(1) > 20).all()
    found = values_of(explained, clips, cells.float(), parts)
    for name in ("auc", "ap", "pointing"):
        assert found[name].tolist() == [1] * 4, name
    assert (found["cue_kept"] > 0.8).all() and (found["snr_gain"] > 5).all()
    assert (found["background_kept"] < 0.2).all() and found["found"].tolist() == [1] * 4
    # Two cues are in fold 6 alone.
    assert found["both_kept"].isnan().tolist() == [ID[0] == "5" for ID in IDs]
    assert (found["both_kept"][2:] == 1).all()
    opposite = values_of(explained, clips, 1 - cells.float(), parts)
    assert opposite["auc"].tolist() == [0] * 4 and opposite["pointing"].tolist() == [0] * 4
    assert (opposite["snr_gain"] < 0).all()


def test_one_of_two_cues_is_not_both(explained, data):
    IDs, clips, parts = batch(explained, data, "tone_1200")
    frames = parts["first"].amax(2, keepdim=True) > 0
    found = values_of(explained, clips, frames.expand_as(clips.X).float(), parts)
    assert found["both_kept"][2:].tolist() == [0, 0]
    # As loud as one another.
    assert found["cue_kept"][2:].tolist() == pytest.approx([0.5, 0.5], abs=0.02)


def test_parts_are_at_the_level_that_is_explained(explained, data):
    _, clips, parts = batch(explained, data, "noise_1800")
    found = values_of(explained, clips, torch.ones_like(clips.X), parts)
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


def check_of(explained, data, path, interpreters):
    folder, scenario, dataset = data
    setup = SimpleNamespace(
        explained=explained, interpreters=interpreters, labels=list(CUES), scenario=scenario,
        dataset=dataset, device="cpu", run_opts=None,
    )  # fmt: skip
    hparams = {
        "output_folder": path, "seed": 0, "data_folder": folder, "signal_length_s": N / SR,
        "sample_rate": SR, "scenario": "plain", "audit_clips": None, "batch_size": 8,
        "interpreters": interpreters, "n_boot": 10, "target_folds": [5, 6], "domain": "stft",
        "dataset": "planted cues", "classifier_name": "made up",
    }  # fmt: skip
    return PlantedCues(hparams, setup)


def test_rows_are_kept_and_a_new_method_is_the_only_one_computed(
    explained, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(planted_cues, "classify", fake_classify)
    methods = {"none": Counting(explained)}
    rows = check_of(explained, data, tmp_path, methods).rows()
    assert len(rows) == 40 and Counting.calls == 5 and rows["counts"].sum() == 4
    methods |= {"All-ones": AllOnes(explained), "Random": Random(explained)}
    text = check_of(explained, data, tmp_path, methods).run()
    assert Counting.calls == 5
    assert len(pd.read_csv(tmp_path / "planted_cues_clips.csv")) == 120
    assert len(pd.read_csv(tmp_path / "controls.csv")) == 40
    assert (tmp_path / "planted_cues.png").is_file()
    assert (tmp_path / "table.md").read_text() == text
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert len(summary) == 3 * 4 and (summary["n"] == 1).all()
    assert list(summary.columns[:5]) == ["method", "snr_db", "setting", "auc", "ap"]
    ones = summary[summary["method"] == "All-ones"]
    assert (ones["cue_kept"] == 1).all() and (ones["auc"] == 0.5).all() and (ones["MM"] == 1).all()
    assert "## One cue, +6 dB" in text and "## Two reasons, -6 dB" in text
    assert "10 clips, 1 counted. Decided for the cue's class: 0.10" in text


def test_the_folder_of_an_evaluation_is_refused(explained, data, tmp_path):
    (tmp_path / "metrics.csv").write_text("method\n")
    (tmp_path / "evaluation.json").write_text("{}")
    with pytest.raises(ValueError, match="is the folder of an evaluation, whose summary.csv"):
        check_of(explained, data, tmp_path, {})


def test_some_clips_are_the_first_of_every_class(data):
    scenario = data[1]
    some = first_of_each(scenario, 20)
    assert (some.groupby("label").size() == 2).all() and set(some["fold"]) == {5}
    assert first_of_each(scenario, None) is scenario


def test_another_data_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="meta/planted.csv: give a YAML whose dataset_yaml is"):
        Planted(tmp_path, N, SR)
