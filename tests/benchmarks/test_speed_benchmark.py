"""The suite measures what it says, and writes what it measured. No time is asserted."""

import math
from itertools import count

import pandas as pd
import pytest
import torch

from benchmarks import __main__ as suite
from benchmarks.speed import clocks, growth, report, rows
from benchmarks.speed.ours import Ours, layer_by_layer
from benchmarks.speed.published import Published
from benchmarks.speed.table import Table


@pytest.fixture(scope="module")
def ours():
    return Ours(1, 5.0, width=4)


def test_both_designs_do_what_they_are_timed_for(ours):
    published = Published(ours)
    before = {k: v.clone() for k, v in published.decoder.state_dict().items()}
    assert math.isfinite(ours.step()) and math.isfinite(published.step())
    assert any((before[k] != v).any() for k, v in published.decoder.state_dict().items())
    theirs, own = published.evaluate(), ours.evaluate()
    assert theirs.keys() <= own.keys()
    mask, X, probs, target = published.explain()
    assert mask.shape == X.shape == ours.explain().shape == ours.decode().shape
    # One classifier and one analysis, up to rounding.
    torch.testing.assert_close(X, ours.X, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(probs, ours.logits.softmax(1), rtol=1e-3, atol=1e-4)


def test_layer_by_layer_is_another_way_to_the_same(ours):
    fused = ours.one_pass()[0]
    with layer_by_layer(ours.explained.classifier) as classifier:
        assert all(m._forward_hooks for m in classifier.modules())
        torch.testing.assert_close(ours.one_pass()[0], fused, rtol=1e-3, atol=1e-4)
    assert not any(m._forward_hooks for m in ours.explained.classifier.modules())


def test_the_passes_of_a_step_are_those_that_it_takes(ours, monkeypatch):
    """Clips that the classifier reads: all once, and the halves, of the second as many as told."""
    seen, explained = [], ours.explained
    hook = explained.classifier.register_forward_hook(
        lambda m, given, out: seen.append(len(given[0]))
    )
    n = len(ours.wav)
    for share, halves in ((0.25, n + -(-n // 4)), (1.0, 2 * n)):
        monkeypatch.setattr(ours.brain.hparams, "out_share", share)
        for work in (ours.step, ours.passes_of_a_step):
            seen.clear()
            work()
            assert seen == [n, halves], (share, work)
    monkeypatch.setattr(ours.brain.hparams, "out_share", 0.25)
    seen.clear()
    ours.whole_step()
    assert seen == [n, 2 * n] and ours.brain.hparams.out_share == 0.25
    hook.remove()


def test_medians_are_of_turns_after_the_first(monkeypatch):
    clock, ticks, calls = clocks.Clock(), count(), []
    durations = iter([9, 9, 3, 30, 1, 10, 2, 20])
    moments = (t for d, n in zip(durations, ticks) for t in (1000 * n, 1000 * n + d))  # noqa: B905
    clock.now = lambda: next(moments)
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert clock.medians(functions, 3) == {"a": 2, "b": 20}
    assert calls == list("abababab")


@pytest.mark.parametrize("duration,turns", [(0.5, 5), (0.001, 30), (7, 2)])
def test_short_work_is_timed_more_often(duration, turns):
    """Two functions and two turns: until 5 s are spent, at most 30 times, and a turn to warm up."""
    clock, calls, moment = clocks.Clock(), [], count(0, duration)
    clock.now = lambda: next(moment)
    clock.medians({name: lambda name=name: calls.append(name) for name in "ab"}, 2)
    assert calls == list("ab" * (turns + 1))


def test_processor_time_is_refused_where_it_misleads(monkeypatch):
    with pytest.raises(ValueError, match="OMP_NUM_THREADS=1"):
        clocks.Clock("processor", "cuda")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(ValueError, match="OMP_NUM_THREADS=1"):
        clocks.Clock("processor")


@pytest.mark.parametrize(
    "against, ratio, goal", [(rows.PUBLISHED, 20.0, "≥ 20: met"), (rows.PASSES, 0.05, "")]
)
def test_a_ratio_says_how_much_faster_or_how_near(against, ratio, goal):
    args = suite.parse([])
    row = rows.row(args, "decoder forward", 16, 16, against, 0.1, 2.0)
    assert list(row) == rows.COLUMNS == (
        "work,width,batch_size,against,ratio,ours_s,theirs_s,device".split(",")
    )  # fmt: skip
    assert row["ratio"] == pytest.approx(ratio)
    assert report._goal(row) == goal
    slower = rows.row(args, "training step", 64, 4, rows.PASSES, 1.08, 1.0)
    assert report._goal(slower) == "≤ 1.07: missed"


def test_the_command_writes_what_its_groups_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "LENGTHS", (1, 2))
    monkeypatch.setattr(growth, "WIDTH", 4)
    row = rows.row(suite.parse([]), "explanation", 64, 4, rows.PASSES, 1.02, 1.0)
    monkeypatch.setattr(rows, "GROUPS", {"length of nothing": lambda args, clock: [row]})
    suite.main(["--only=length", "--turns=1", f"--output={tmp_path}"])
    grown = pd.read_csv(tmp_path / "growth.csv")
    assert grown["seconds"].tolist() == [1, 2] and (grown["step_s"] > 0).all()
    assert pd.read_csv(tmp_path / "speed.csv").to_dict("records") == [row]
    text = (tmp_path / "speed.md").read_text()
    assert "| explanation | 64 | 4 | unavoidable passes | 1.02 |" in text
    assert "≤ 1.03: met" in text and "| length | 2 | 1 | 10 |" in text
    assert (tmp_path / "speed.png").stat().st_size > 1000


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_the_plain_way_through_a_table_gives_the_same_masks_and_metrics(ours):
    """Those of sampling methods apart, which draw other numbers; on the same mixture."""
    table = Table(ours)
    names = [m for m in table.interpreters if m not in ("SmoothGrad", "SHAP", "Random", "Oracle")]
    assert {"L-MAC", "IG", "GradCAM", "Guided GradCAM", "Guided Backprop"} < set(names)
    for option in ("ig_steps", "smoothgrad_samples", "shap_samples"):
        table.hparams[option] = 2
    table.interpreters["IG"].steps = 2
    own = table.evaluate(names)
    with layer_by_layer(ours.explained.classifier):
        theirs = table.evaluate_plainly([*names, "SmoothGrad", "SHAP"])
    for name in names:
        for metric in ("AD", "FF", "Fid-In", "SPS", "COMP", "MM"):
            torch.testing.assert_close(
                own[name][metric], theirs[name][metric], rtol=1e-2, atol=1e-3
            )
    assert theirs["SHAP"].keys() == theirs["SmoothGrad"].keys() <= own["IG"].keys()
