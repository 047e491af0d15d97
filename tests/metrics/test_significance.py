"""Paired tests between methods, against SciPy and sums by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from metrics.significance import against_reference, footnote, holm, signed_rank


def made_up(methods, targets=20, mixtures=2, seeds=3, metrics=("FF", "AD", "MM", "SPS")):
    """Rows of clips, two of a target, in an order of their own."""
    rng = np.random.default_rng(0)
    rows = [
        {"method": method, "ID": f"t{t}_{m}", "target_id": f"t{t}", "seed": s,
         **{name: rng.normal(shift, 1) for name in metrics}}
        for method, shift in methods.items()
        for t in range(targets) for m in range(mixtures) for s in range(seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=1)


def by_hand(rows, name, method, reference):
    """Clips over seeds, then targets over clips; in loops."""
    means = {}
    for which in (method, reference):
        own = rows[rows["method"] == which]
        for target in sorted(own["target_id"].unique()):
            clips = own[own["target_id"] == target]
            per_clip = [clips[clips["ID"] == ID][name].mean() for ID in sorted(set(clips["ID"]))]
            means[which, target] = np.mean(per_clip)
    targets = sorted(rows["target_id"].unique())
    return np.array([means[method, t] - means[reference, t] for t in targets])


def test_targets_are_compared_over_clips_and_seeds():
    rows = made_up({"IG": 0.0, "L-MAC": 0.5, "GradCAM": 0.6, "Random": -1.0})
    # One seed has more clips: means of means, not of rows.
    rows = rows[~((rows["seed"] == 2) & rows["ID"].str.endswith("_1"))]
    tests = against_reference(rows, metric_names=["FF", "AD"])
    assert len(tests) == 6 and set(tests["reference"]) == {"L-MAC"}
    for metric, part in tests.groupby("metric"):
        p = []
        for line in part.to_dict("records"):
            difference = by_hand(rows, metric, line["method"], "L-MAC")
            assert line["units"] == 20 == len(difference)
            assert line["difference"] == pytest.approx(difference.mean())
            p.append(wilcoxon(difference).pvalue)
            assert line["p"] == pytest.approx(p[-1], rel=1e-6)
            sign = 1 if metric == "FF" else -1  # of AD less is better
            assert line["better"] == (sign * difference.mean() > 0)
        # Holm by hand: the least times their number, and so on, never falling.
        order = np.argsort(p)
        floor = 0.0
        for rank, i in enumerate(order):
            floor = max(floor, min(1.0, p[i] * (len(p) - rank)))
            assert part["p_holm"].iloc[i] == pytest.approx(floor)
        assert list(part["significant"]) == [x < 0.05 for x in part["p_holm"]]


def test_what_does_not_apply_is_left_out_and_the_best_stands_in():
    rows = made_up({"IG": 0.0, "GradCAM": 2.0, "All-ones": 5.0, "Random": 9.0})
    tests = against_reference(rows)
    assert set(tests["metric"]) == {"FF", "AD", "SPS"}  # MM has no direction
    best = tests.groupby("metric")["reference"].unique().map(list)
    assert best["FF"] == ["GradCAM"] and best["AD"] == ["IG"]  # neither bound nor control
    assert "All-ones" not in set(tests[tests["metric"] == "SPS"]["method"])
    assert "All-ones" in set(tests[tests["metric"] == "FF"]["method"])
    # Clips where one of two is undefined are no pair.
    rows.loc[(rows["method"] == "IG") & rows["target_id"].isin(["t0", "t1"]), "FF"] = np.nan
    tests = against_reference(rows, metric_names=["FF"]).set_index("method")
    assert tests["units"]["IG"] == 18 and tests["units"]["Random"] == 20
    rows["FF"] = np.nan
    assert against_reference(rows, metric_names=["FF"]).empty
    assert against_reference(rows[rows["method"] == "IG"]).empty


def test_equal_methods_never_differ():
    rows = made_up({"L-MAC": 0.0})
    rows = pd.concat([rows, rows.assign(method="Twin")])
    tests = against_reference(rows)
    assert (tests["p_holm"] == 1).all() and not tests["significant"].any()


def test_the_footnote_says_who_is_better_and_how_it_was_tested():
    rows = made_up({"IG": -2.0, "L-MAC": 0.0, "GradCAM": 2.0, "Saliency": 0.0})
    text = footnote(against_reference(rows, metric_names=["FF", "AD"]), seeds=3)
    assert (
        "two-sided, of 20 targets (clips of one target averaged; each clip averaged over 3" in text
    )
    assert "Holm over the methods of a metric, level 5 %." in text
    assert "FF, against L-MAC: better: GradCAM; worse: IG; no difference shown: Saliency." in text
    assert "AD, against L-MAC: better: IG; worse: GradCAM;" in text
    assert "seeds" not in footnote(against_reference(rows[rows["seed"] == 0]))


def test_few_pairs_are_tested_exactly():
    assert signed_rank(np.array([1.0])) == 1 and signed_rank(np.zeros(5)) == 1
    assert signed_rank(np.array([1.0, 2, 3, 4, 5, 6])) == pytest.approx(2 / 2**6)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
