"""Bootstrap intervals: coverage, clusters; summaries: order, counts, what they refuse."""

import math

import numpy as np
import pandas as pd
import pytest

from metrics import summary as module
from metrics.summary import bootstrap_interval, summarise, with_interval


def width(interval):
    return interval[1] - interval[0]


def normal(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


@pytest.mark.parametrize(("level", "least", "most"), [(0.95, 0.92, 0.97), (0.8, 0.75, 0.84)])
def test_covers_the_true_mean_as_often_as_it_says(level, least, most):
    rng = np.random.default_rng(7)
    hits = 0
    for seed in range(600):
        low, high = bootstrap_interval(rng.normal(3, 2, size=80), 400, level, seed)
        hits += low <= 3 <= high
    assert least <= hits / 600 <= most


def test_cluster_intervals_cover_where_naive_ones_do_not():
    """Pairs that are equal: half the information that the number of values suggests."""
    rng = np.random.default_rng(8)
    naive, cluster = 0, 0
    groups = np.repeat(np.arange(60), 2)
    for seed in range(400):
        values = np.repeat(rng.normal(size=60), 2)
        for_naive = bootstrap_interval(values, 300, seed=seed)
        for_cluster = bootstrap_interval(values, 300, seed=seed, groups=groups)
        naive += for_naive[0] <= 0 <= for_naive[1]
        cluster += for_cluster[0] <= 0 <= for_cluster[1]
    assert cluster / 400 > 0.91
    assert naive / 400 < 0.88


def test_perfectly_correlated_pairs_count_once():
    values = np.sort(normal(200))
    once = bootstrap_interval(values)
    pairs = np.repeat(values, 2)
    clustered = bootstrap_interval(pairs, groups=np.repeat(np.arange(200), 2))
    np.testing.assert_allclose(clustered, once)
    assert width(clustered) / width(bootstrap_interval(pairs)) == pytest.approx(2**0.5, rel=0.1)


def test_groups_of_different_sizes_keep_the_mean_of_the_values():
    """90 clips at 0 in 30 groups of 3, 10 at 1 on their own: the mean is 0.1, not 10 / 40."""
    values = np.r_[np.zeros(90), np.ones(10)]
    groups = np.r_[np.repeat(np.arange(30), 3), np.arange(100, 110)]
    low, high = bootstrap_interval(values, 4000, groups=groups)
    assert low < 0.1 < high < 0.25


def test_agrees_with_the_standard_error_of_the_mean():
    values = normal(400, seed=3)
    low, high = bootstrap_interval(values, 4000)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.01)
    assert width((low, high)) == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)


@pytest.mark.parametrize("grouped", [False, True])
def test_depends_on_the_seed_and_not_on_order_or_nan(grouped):
    values = normal(90)
    groups = np.array([f"clip {i % 45}" for i in range(90)]) if grouped else None
    first = bootstrap_interval(values, groups=groups)
    assert first == bootstrap_interval(values, groups=groups)
    assert first != bootstrap_interval(values, groups=groups, seed=1)

    order = np.random.default_rng(1).permutation(90)
    shuffled = bootstrap_interval(values[order], groups=groups[order] if grouped else None)
    np.testing.assert_allclose(shuffled, first, rtol=1e-12)

    with_nan = np.r_[math.nan, values, math.nan]
    more = np.r_[["another"], groups, ["clip 3"]] if grouped else None
    assert bootstrap_interval(with_nan, groups=more) == first


def test_resampling_in_pieces_is_as_good(monkeypatch):
    values = normal(100)
    whole = bootstrap_interval(values)
    monkeypatch.setattr(module, "CHUNK", 333)
    pieces = bootstrap_interval(values)
    np.testing.assert_allclose(pieces, whole, atol=0.1 * width(whole))
    # Pieces of 3 resamples; the last one is smaller.
    assert module._resampled(values, None, 1000, 0).shape == (1000,)


@pytest.mark.parametrize("values", [[], [math.nan] * 3, [0.4], [0.4, math.nan]])
def test_one_value_has_no_interval(values):
    assert np.isnan(bootstrap_interval(values)).all()
    assert np.isnan(bootstrap_interval([1.0, 2.0, 3.0], groups=["a"] * 3)).all()


def test_equal_values_have_an_interval_without_width():
    assert bootstrap_interval([1.0] * 20) == (1.0, 1.0)


def test_refuses_bad_arguments():
    for wrong in ({"level": 95}, {"level": 1.5}, {"level": 1}, {"level": 0}, {"n_boot": 0},
                  {"values": [[1.0, 2.0]]}):  # fmt: skip
        with pytest.raises(ValueError, match="level between 0 and 1"):
            bootstrap_interval(**{"values": [1.0, 2.0]} | wrong)
    for groups in (["a"], ["a", None], [1.0, math.nan]):
        with pytest.raises(ValueError, match="a group for each of the 2 values"):
            bootstrap_interval([1.0, 2.0], groups=groups)


def rows() -> pd.DataFrame:
    """Method b comes first and has two mixtures for each of three targets."""
    return pd.DataFrame(
        {
            "scenario": "mixtures",
            "domain": "stft",
            "method": ["b", "b", "a", "a", "b", "b", "b", "b"],
            "target_id": ["x", "x", "x", "y", "y", "y", "z", "z"],
            "AI": [100, 100, 0, 0, 0, 0, 100, 0],
            "SPS": [0.5, math.nan, math.nan, math.nan, 0.7, 0.9, math.nan, 0.7],
            "s/clip": [1.0, 2, 3, 4, 5, 6, 7, 8],
        }
    )


def test_one_row_per_method_in_order_of_appearance():
    result = summarise(rows())
    parts = ["", " lo", " hi", " undefined"]
    assert list(result.columns) == (
        ["scenario", "domain", "method", "n"]
        + [f"AI{part}" for part in parts]
        + [f"SPS{part}" for part in parts]
    )
    assert result["method"].tolist() == ["b", "a"]
    assert result["n"].tolist() == [6, 2]
    assert result["AI"].tolist() == [50, 0]
    assert result["SPS undefined"].tolist() == [2, 2]
    assert result["AI undefined"].tolist() == [0, 0]
    assert result["SPS"][0] == pytest.approx(0.7)
    assert result.loc[1, ["SPS", "SPS lo", "SPS hi"]].isna().all()


def test_intervals_are_those_of_the_targets():
    """Two mixtures of each target, alike: the seed, n_boot and targets all reach the bootstrap."""
    table = pd.DataFrame({"method": "a", "target_id": np.repeat(np.arange(50), 2)})
    table["FF"] = np.repeat(normal(50), 2)

    def interval(**arguments):
        result = summarise(table, by="method", **arguments).iloc[0]
        return result["FF lo"], result["FF hi"]

    given = {"n_boot": 200, "seed": 5}
    expected = bootstrap_interval(table["FF"], **given, groups=table["target_id"])
    assert interval(**given) == expected
    assert interval(n_boot=201, seed=5) != expected != interval(n_boot=200, seed=6)
    independent = interval(**given, group_column=None)
    assert independent == bootstrap_interval(table["FF"], **given)
    assert width(expected) > 1.2 * width(independent)


def test_any_number_can_be_averaged_and_any_column_can_tell_rows_apart():
    result = summarise(rows(), by=["target_id"], metric_names=["s/clip"])
    assert result["target_id"].tolist() == ["x", "y", "z"]
    assert result["s/clip"].tolist() == [2, 5, 7.5]
    assert summarise(rows(), by="method")["n"].tolist() == [6, 2]


def test_rows_without_a_key_are_kept():
    table = rows()
    table.loc[2:3, "domain"] = None
    assert summarise(table)["n"].sum() == len(table)


def test_refuses_no_rows_and_missing_columns():
    with pytest.raises(ValueError, match="no rows to summarise"):
        summarise(rows().iloc[:0])
    with pytest.raises(ValueError, match="lack the columns 'COMP'; they have scenario"):
        summarise(rows(), metric_names=["AI", "COMP"])
    with pytest.raises(ValueError, match="lack the columns 'target_id'"):
        summarise(rows().drop(columns="target_id"))
    with pytest.raises(ValueError, match="none of the metrics AI, AD"):
        summarise(rows().drop(columns=["AI", "SPS"]))


def crossed_design(rng, of_targets, of_contaminants, contaminants):
    """80 targets in two mixtures each; each contaminant in several, whose mean is 0 in truth."""
    targets = np.repeat(np.arange(80), 2)
    drawn = np.concatenate([rng.choice(contaminants, 2, replace=False) for _ in range(80)])
    values = rng.normal(size=160) + of_targets * rng.normal(size=80)[targets]
    return values + of_contaminants * rng.normal(size=contaminants)[drawn], targets, drawn


@pytest.mark.parametrize(("of_targets", "of_contaminants", "contaminants"), [
    (1.0, 0.0, 80), (1.0, 1.0, 80), (0.5, 1.5, 80), (1.0, 0.5, 12),
])  # fmt: skip
def test_intervals_that_resample_both_cover_whatever_is_shared(
    of_targets, of_contaminants, contaminants
):
    rng = np.random.default_rng(9)
    both, targets_alone = 0, 0
    for seed in range(250):
        values, targets, drawn = crossed_design(rng, of_targets, of_contaminants, contaminants)
        low, high = bootstrap_interval(values, 300, seed=seed, groups=targets, crossed=drawn)
        both += low <= 0 <= high
        low, high = bootstrap_interval(values, 300, seed=seed, groups=targets)
        targets_alone += low <= 0 <= high
    assert 0.90 <= both / 250 <= 0.985
    if of_contaminants > of_targets:
        assert targets_alone / 250 < 0.86


def test_what_is_not_shared_changes_nothing_and_order_neither():
    values, targets, drawn = crossed_design(np.random.default_rng(1), 1, 1, 40)
    alone = bootstrap_interval(values, groups=targets)
    assert bootstrap_interval(values, groups=targets, crossed=np.arange(160)) == alone
    assert bootstrap_interval(values, groups=targets, crossed=[None] * 160) == alone
    # One for all: its spread cannot be seen.
    assert bootstrap_interval(values, groups=targets, crossed=["speaker"] * 160) == alone
    both = bootstrap_interval(values, groups=targets, crossed=drawn)
    assert width(both) > 1.1 * width(alone)
    order = np.random.default_rng(2).permutation(160)
    shuffled = bootstrap_interval(values[order], groups=targets[order], crossed=drawn[order])
    np.testing.assert_allclose(shuffled, both, rtol=1e-12)
    with pytest.raises(ValueError, match="Expected 160 entries of crossed, got 3"):
        bootstrap_interval(values, groups=targets, crossed=[1, 2, 3])


def test_the_stretch_is_that_of_cameron_gelbach_and_miller():
    """By hand, from the sandwich sums of a clustered mean."""
    values, targets, drawn = crossed_design(np.random.default_rng(3), 1, 1, 40)
    centred = values - values.mean()

    def variance(labels):
        return (np.bincount(labels, weights=centred) ** 2).sum() / len(values) ** 2

    pairs = np.arange(160)
    by_hand = variance(targets) + variance(drawn) - variance(pairs)
    low, high = bootstrap_interval(values, 4000, groups=targets, crossed=drawn)
    assert (high - low) / (2 * 1.96) == pytest.approx(by_hand**0.5, rel=0.07)


def test_an_interval_stays_within_the_values():
    values = np.r_[np.zeros(20), np.ones(2)]
    crossed = np.r_[np.arange(10).repeat(2), [99, 99]]
    low, high = bootstrap_interval(values, groups=np.arange(22), crossed=crossed)
    assert low == 0 and 0.1 < high < 1


def test_pairs_that_are_drawn_twice_count_once():
    """The same mixture scored twice is no more information."""
    values, targets, drawn = crossed_design(np.random.default_rng(1), 1, 1, 40)
    once = bootstrap_interval(values, groups=targets, crossed=drawn)
    twice = bootstrap_interval(values.repeat(2), groups=targets.repeat(2), crossed=drawn.repeat(2))
    np.testing.assert_allclose(twice, once)


def test_pairs_that_cancel_do_not_widen_it():
    """A chessboard of +1 and -1: pairs vary, targets and contaminants hardly do."""
    targets, others = (x.ravel() for x in np.indices((40, 40)))
    values = (
        (-1.0) ** (targets + others) + 0.01 * normal(40)[targets] + 0.01 * normal(40, 1)[others]
    )
    alone = bootstrap_interval(values, groups=targets)
    both = bootstrap_interval(values, groups=targets, crossed=others)
    assert width(alone) <= width(both) < 2 * width(alone)


def test_without_groups_the_crossed_are_the_groups():
    values, _, drawn = crossed_design(np.random.default_rng(4), 0, 2, 20)
    crossed = bootstrap_interval(values, 4000, crossed=drawn)
    grouped = bootstrap_interval(values, 4000, groups=drawn)
    np.testing.assert_allclose(crossed, grouped, atol=0.1 * width(grouped))
    assert width(crossed) > 1.5 * width(bootstrap_interval(values, 4000))


def test_values_without_a_crossed_thing_share_it_with_no_other():
    """Half of them without one: as if each had its own, and not as if all had the same."""
    values, targets, drawn = crossed_design(np.random.default_rng(5), 1, 2, 20)
    without = np.arange(160) % 4 < 2
    found = bootstrap_interval(
        values,
        4000,
        groups=targets,
        crossed=[None if w else int(d) for w, d in zip(without, drawn, strict=True)],
    )
    own = np.where(without, 1000 + np.arange(160), drawn)
    expected = bootstrap_interval(values, 4000, groups=targets, crossed=own)
    np.testing.assert_allclose(found, expected, atol=0.05 * width(expected))
    one = bootstrap_interval(values, 4000, groups=targets, crossed=np.where(without, -1, drawn))
    assert abs(width(one) / width(expected) - 1) > 0.15


def test_the_smallest_cases():
    """Two values have a spread, one resample is enough, and None is undefined."""
    assert bootstrap_interval([0.0, 1.0]) == (0.0, 1.0)
    low, high = bootstrap_interval([0.0, 1.0, 5.0], n_boot=1)
    assert low == high
    assert bootstrap_interval([0.0, None, 1.0]) == (0.0, 1.0)
    # Equal values: a stretch of 0 / 0 must not make them undefined.
    equal = bootstrap_interval([1.0] * 6, groups=[1, 1, 2, 2, 3, 3], crossed=[1, 2, 1, 2, 1, 2])
    assert equal == (1.0, 1.0)


def test_summaries_take_both_from_their_columns():
    values, targets, drawn = crossed_design(np.random.default_rng(1), 1, 1, 40)
    rows = pd.DataFrame({"method": "m", "target_id": targets, "with": drawn, "AI": values})
    both = summarise(rows, "method", crossed_column="with").iloc[0]
    expected = bootstrap_interval(values, groups=targets, crossed=drawn)
    assert (both["AI lo"], both["AI hi"]) == expected
    with pytest.raises(ValueError, match="lack the columns 'what'"):
        summarise(rows, "method", crossed_column="what")


def test_columns_of_pandas_own_types():
    """Undefined cells are NA there and not NaN."""
    table = rows().assign(AI=rows()["AI"].astype("Int64"))
    table.loc[0, "AI"] = pd.NA
    result = summarise(table, metric_names=["AI"])
    assert result["AI"].tolist() == [40, 0] and result["AI undefined"].tolist() == [1, 0]


def test_a_mean_with_its_interval_in_words():
    row = {"AI": 12.346, "AI lo": 10.0, "AI hi": 14.999}
    assert with_interval(row, "AI") == "12.35 [10.00, 15.00]"
    assert with_interval(row, "AI", decimals=1) == "12.3 [10.0, 15.0]"
    assert with_interval(row | {"AI lo": math.nan, "AI hi": math.nan}, "AI") == "12.35"
    assert with_interval(dict.fromkeys(row, math.nan), "AI") == ""


def test_targets_of_one_mean_leave_the_spread_of_what_they_share():
    """Each target has 0 with one contaminant and 1 with the other."""
    values, targets = np.tile([0.0, 1.0], 20), np.arange(20).repeat(2)
    crossed = np.where(values == 0, *[np.arange(40) % 8 + k for k in (0, 100)])
    low, high = bootstrap_interval(values, groups=targets, crossed=crossed)
    expected = bootstrap_interval(values, groups=crossed)
    assert (low, high) == expected and low < 0.45 and high > 0.55
    assert bootstrap_interval(values, groups=targets) == (0.5, 0.5)
