"""Asking for a class: planted methods that explain anything, or listen, or do not."""

import matplotlib.colors
import matplotlib.image
import pandas as pd
import pytest
import torch
from conftest import make_explained
from tones import LABELS, SCENARIO, Deaf, Listens, Tones, check_of, tones

from lmac.core.scoring import analyse_clips
from lmac.evaluation.checks.asked import (
    ABSENT,
    SOURCE,
    Asked,
    absent_classes,
    at_level,
    report,
    summary_of,
)
from lmac.evaluation.folder import EvaluationFolder
from lmac.explain.figures import asked_figure
from metrics.asked import decides_for, energy_kept, nearer_to


def test_metrics_by_hand():
    probs = torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    assert decides_for(probs, torch.tensor([1, 1])).tolist() == [1.0, 0.0]
    # X = log(1 + a): amplitudes 1 and 3, of which the second is halved in X: sqrt(4) - 1 = 1.
    X = torch.tensor([[[1.0, 3.0]]], dtype=torch.float64).log1p()
    masked = X * torch.tensor([1.0, 0.5], dtype=torch.float64)
    assert energy_kept(masked, X).item() == pytest.approx((1 + 1) / (1 + 9))
    one, two = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0, 1.0, 0]])
    assert nearer_to(0.1 * one + 0.05 * two, one, two).tolist() == [1.0]
    assert nearer_to(0.1 * one + 0.05 * two, two, one).tolist() == [0.0]
    assert nearer_to(torch.zeros(1, 3), one, two).tolist() == [0.0]  # says nothing
    assert nearer_to(one, one, torch.zeros(1, 3)).isnan().all()


@pytest.fixture
def explained():
    return Tones(make_explained(kind="conv2d"))


class OfTones(Asked):
    """Of clips that say themselves which class is absent from them."""

    def scenario(self):
        return self.setup.scenario

    def _mix(self, rows):
        return tones(rows)


def asked_of(explained, folder, methods, levels=(12, 0), scenario=SCENARIO):
    if not isinstance(methods, dict):
        methods = {m.__name__: m(explained) for m in methods}
    check = check_of(OfTones, explained, folder.path, methods, scenario, asked_snr_db=list(levels))
    return check.rows()


def test_who_listens_who_explains_anything_and_who_does_not(explained, tmp_path):
    folder = EvaluationFolder(tmp_path)
    rows = asked_of(explained, folder, (Listens, Deaf))
    summary = summary_of(rows, 50).set_index(["method", "snr_db"])
    zero = summary.xs(0, level="snr_db")
    # Asked for "none" its mask is empty, which this classifier decides as "none"; the middle band
    # that it keeps for "other" has next to nothing, but more than silence.
    assert (
        zero.loc["Listens", "false_explanation"] == 100
        and zero.loc["Deaf", "false_explanation"] == 0
    )
    assert zero.loc["Listens", "energy_absent"] < 1 and zero.loc["Deaf", "energy_absent"] == 100
    assert zero.loc["Listens", "asked_source"] == 100 and zero.loc["Deaf", "asked_source"] == 50
    assert zero["n_absent"].tolist() == [3, 3] and zero["n_source"].tolist() == [6, 6]
    # At 12 dB the quieter one has 0.06 of the energy, so a p of about 0.06: both are asked for.
    assert summary.loc[("Listens", 12), "asked_source"] == 100
    text = report(summary.reset_index(), 0.05, "About.")
    assert "| Listens | 0 | 100.0" in text and "Deaf: the same mask for every target class." in text
    assert set(rows["question"]) == {ABSENT, SOURCE}
    questions = rows[(rows["question"] == SOURCE) & (rows["ID"] == "low-high")]
    assert set(questions["asked"]) == {"low", "high"}


def test_a_class_that_is_hardly_there_is_not_asked_for(explained, tmp_path):
    rows = asked_of(explained, EvaluationFolder(tmp_path), (Deaf,), levels=(30,))
    assert set(rows["question"]) == {ABSENT}  # p of the quieter one is 0.001
    summary = summary_of(rows, 50)
    assert summary["n_source"].tolist() == [0] and summary["asked_source"].isna().all()


def test_what_is_there_is_kept_and_other_questions_are_asked_anew(explained, tmp_path):
    folder = EvaluationFolder(tmp_path)
    asked_of(explained, folder, (Deaf,))
    both = asked_of(explained, folder, (Listens, Deaf))
    assert set(both["method"]) == {"Listens", "Deaf"}
    calls = []

    class Counted(Deaf):
        def explain(self, X, target, phase=None):
            calls.append(len(X))
            return super().explain(X, target)

    same = Counted(explained)
    same.__class__.description = Deaf(explained).description
    asked_of(explained, folder, {"Deaf": same})
    assert not calls
    changed = asked_of(explained, folder, (Deaf,), scenario=SCENARIO.assign(absent="none"))
    assert set(changed[(changed["method"] == "Deaf")]["asked"]) >= {"none"}
    assert "other" not in set(changed[changed["method"] == "Deaf"]["asked"])


def test_the_figure_has_a_point_for_every_method_at_every_level(explained, tmp_path):
    rows = asked_of(explained, EvaluationFolder(tmp_path), (Listens, Deaf))
    asked_figure(summary_of(rows, 50), tmp_path / "asked.png")
    picture = matplotlib.image.imread(tmp_path / "asked.png")
    colours = [matplotlib.colors.to_rgb(f"C{i}") for i in (0, 1)]
    for colour in colours:
        near = (abs(picture[..., :3] - colour).max(2) < 0.05).any(0).nonzero()[0]
        assert near.min() < picture.shape[1] / 2 < near.max()  # in both panels


def test_levels_and_absent_classes():
    rows = at_level(SCENARIO, 20)
    assert rows["gain_target"].tolist() == [1.0] * 3
    assert rows["gain_contaminant"].tolist() == pytest.approx([0.1] * 3)
    drawn = absent_classes(SCENARIO, LABELS, seed=3)
    assert drawn == absent_classes(SCENARIO, LABELS, seed=3)
    assert set(drawn) <= {"other", "none"}
    many = pd.concat([SCENARIO] * 30)
    assert set(absent_classes(many, LABELS, seed=3)) == {"other", "none"}
    with pytest.raises(ValueError, match="none that is absent"):
        absent_classes(SCENARIO, ["low", "high"], seed=0)


def test_random_numbers_and_batches_do_not_leak(explained, tmp_path):
    """Questions of one clip do not depend on the others of its batch."""
    items = tones(at_level(SCENARIO, 0))
    listens = Listens(explained)
    asker = check_of(OfTones, explained, tmp_path, {"Listens": listens}, SCENARIO)
    rows = SCENARIO.to_dict("records")

    def answers(numbers):
        sig, clean = (torch.stack([items[i][k] for i in numbers]) for k in ("sig", "clean"))
        clips = analyse_clips(explained, sig, clean)
        found = asker.questions(listens, clips, (clean, sig - clean), [rows[i] for i in numbers])
        return [{**a, "row": numbers[a["row"]]} for a in found]

    together = answers([0, 1, 2])
    alone = answers([0]) + answers([1]) + answers([2])
    ordered = [sorted(a, key=lambda a: (a["row"], a["question"], a["asked"]))
               for a in (together, alone)]  # fmt: skip
    for one, other in zip(*ordered, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name] == pytest.approx(other[name]), name
