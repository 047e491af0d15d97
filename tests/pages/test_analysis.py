"""The analysis of a listening test, on studies whose truth is known."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from latex import plain, tabulars

from lmac.pages.study.analysis import analyse, main
from lmac.pages.study.listening_test import make_test
from lmac.pages.study.responses import QUESTIONS, read_test
from lmac.pages.study.scores import score_table, significance_table
from metrics.significance import holm, signed_rank

from .made import answers, make_results, write_json

REFERENCE = "hidden reference"
METHODS = ("L-MAC", "Grad<CAM>|$x", "Saliency", "Twin", "Random")
# "Twin" is no other than Saliency.
TRUTH = {
    "correspondence": dict(zip(METHODS, (80, 62, 40, 40, 15), strict=True)) | {REFERENCE: 50},
    "quality": dict(zip(METHODS, (72, 60, 35, 35, 20), strict=True)) | {REFERENCE: 97},
}


@pytest.fixture(scope="module")
def test_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    clips = [(f"clip {i}", "dog", "dog") for i in range(6)]
    results = make_results(folder / "results", clips, METHODS, seconds=0.02)
    make_test([results], folder / "test", clips=5)
    return folder / "test"


def careful(seed):
    """Truth, a bias of the listener, and noise of each rating; the hidden input is found.

    Every condition and question has random numbers of its own: the order of the sounds in a trial
    follows their secret names, which differ in every run, and the answers must not.
    """
    bias = np.random.default_rng(seed).normal(0, 5)
    streams = {}

    def rate(condition, question):
        own = [seed, list(TRUTH[question]).index(condition), list(QUESTIONS).index(question)]
        rng = streams.setdefault((condition, question), np.random.default_rng(own))
        if condition == REFERENCE and question == "quality":
            return int(rng.integers(94, 101))
        value = TRUTH[question][condition] + bias + rng.normal(0, 8)
        return int(np.clip(round(value), 0, 100))

    return rate


def careless(kind):
    rng = np.random.default_rng(99)
    if kind == "clicks anything":
        return lambda condition, question: int(rng.integers(0, 101))
    if kind == "always 50":
        return lambda condition, question: 50
    if kind == "near the top":
        return lambda condition, question: int(100 if condition == "Random" else 97)
    return lambda condition, question: 60 if condition == REFERENCE else 20  # misses the input


@pytest.fixture(scope="module")
def study(test_folder, tmp_path_factory):
    """20 careful and four careless listeners; the folder of the files and of the analysis."""
    manifest, key = read_test(test_folder)
    folder = tmp_path_factory.mktemp("answers")
    for i in range(20):
        name = f"P{i:02}"
        write_json(folder / f"{name}.json", answers(manifest, key, name, careful(i)))
    for i, kind in enumerate(("clicks anything", "always 50", "near the top", "misses the input")):
        name = f"X{i}"
        write_json(folder / f"{name}.json", answers(manifest, key, name, careless(kind)))
    analyse(test_folder, folder, folder / "analysis", n_boot=2000)
    return folder


def test_the_known_ranking_and_means_come_back(study):
    scores = pd.read_csv(study / "analysis" / "scores.csv")
    assert set(scores["listeners"]) == {20}
    for question in QUESTIONS:
        part = scores[scores["question"] == question].set_index("condition")
        for condition, truth in TRUTH[question].items():
            assert part.loc[condition, "mean"] == pytest.approx(truth, abs=5)
            # The bias of a listener (5) over 20 listeners: an interval of some +- 2.2.
            if condition not in (REFERENCE, "Random"):
                low, high = part.loc[condition, ["lo", "hi"]]
                assert low < part.loc[condition, "mean"] < high and 2 < high - low < 8
    ranking = scores[scores["question"] == "correspondence"]["condition"].tolist()
    assert ranking[:3] == ["L-MAC", METHODS[1], REFERENCE] and ranking[-1] == "Random"
    assert set(ranking[3:5]) == {"Saliency", "Twin"}


def test_means_equal_those_by_hand(study, test_folder):
    """From the participants' files and the key, without the code under test."""
    key = json.loads((test_folder / "key.json").read_text())
    means = []
    for path in study.glob("P*.json"):
        given = json.loads(path.read_text())["ratings"]
        own = [r["quality"] for r in given if key["stimuli"][r["stimulus"]]["condition"] == "L-MAC"]
        assert len(own) == 5
        means.append(sum(own) / 5)
    scores = pd.read_csv(study / "analysis" / "scores.csv").set_index(["question", "condition"])
    assert scores.loc[("quality", "L-MAC"), "mean"] == pytest.approx(np.mean(means))


def test_differences_are_found_where_there_are_any(study):
    tests = pd.read_csv(study / "analysis" / "significance.csv")
    assert len(tests) == 2 * 10 and REFERENCE not in set(tests["a"]) | set(tests["b"])
    for t in tests.itertuples():
        truth = TRUTH[t.question][t.a] - TRUTH[t.question][t.b]
        assert t.significant == (truth != 0), (t.a, t.b)
        assert t.lo <= t.difference <= t.hi and t.p <= t.p_holm
        if truth:
            assert np.sign(t.difference) == np.sign(truth)


def test_careless_listeners_are_screened_out_with_the_reason(study):
    listeners = pd.read_csv(study / "analysis" / "listeners.csv").set_index("participant")
    assert listeners[listeners["kept"]].index.tolist() == [f"P{i:02}" for i in range(20)]
    below = "rated the quality of the hidden reference below 90"
    assert listeners.loc["X0", "reason"].startswith(below)
    assert "answered 50 to everything about correspondence" in listeners.loc["X1", "reason"]
    assert listeners.loc["X2", "reason"] == (
        "rated the quality of the hidden reference (97.0) no better than that of the random mask "
        "(100.0)"
    )
    assert listeners.loc["X3", "reason"] == f"{below} in 100 % of the clips"
    report = (study / "analysis" / "report.md").read_text()
    for name in ("X0", "X1", "X2", "X3"):
        assert f"- {name}, screened out: " in report


def test_the_report_says_all_and_names_stay_text(study):
    report = (study / "analysis" / "report.md").read_text()
    assert "20 listeners" in report and "24 listeners took part" in report
    assert "Grad&lt;CAM>\\|$x" in report and "Wilcoxon" in report and "Holm" in report
    table = [line for line in report.splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 2  # two tables, no more
    assert (study / "analysis" / "scores.png").stat().st_size > 10000


def test_the_latex_tables_have_the_numbers_of_the_report(study):
    report = (study / "analysis" / "report.md").read_text()
    ((columns, lines),) = tabulars((study / "analysis" / "scores.tex").read_text())
    assert columns == 3 and len(lines) == 1 + len(METHODS) + 1
    cells = [[plain(raw) for raw, _ in line] for line in lines]
    assert cells[0] == ["method", "correspondence", "quality"]
    names = [row[0] for row in cells[1:]]
    assert "hidden reference (untouched input)" in names and "random mask (hidden anchor)" in names
    for _, *numbers in cells[1:]:
        assert f"| {numbers[0]} | {numbers[1]} |" in report
    ((columns, lines),) = tabulars((study / "analysis" / "significance.tex").read_text())
    tests = pd.read_csv(study / "analysis" / "significance.csv")
    assert columns == 5 and len(lines) == 1 + len(tests)
    for line, row in zip(lines[1:], tests.itertuples(), strict=True):
        raw = [cell for cell, _ in line]
        assert (r"\textbf" in raw[4]) == row.significant
        assert plain(raw[3]) == f"{row.difference:.2f} [{row.lo:.2f}, {row.hi:.2f}]"
    for name in ("scores", "significance"):
        text = (study / "analysis" / f"{name}.tex").read_text()
        assert r"Grad$<$CAM$>$$|$\$x" in text


def test_screened_listeners_are_kept_on_demand_only(study, test_folder, tmp_path):
    text = analyse(test_folder, study, tmp_path, n_boot=50, keep_all=True)
    assert "X1, kept on demand" in text
    assert set(pd.read_csv(tmp_path / "scores.csv")["listeners"]) == {24}


def ratings_of(means):
    """Ratings of one clip from an array [participants, conditions]."""
    return pd.DataFrame(
        {"participant": f"P{i}", "condition": f"m{j}", "question": question, "rating": value}
        for question in QUESTIONS
        for i, row in enumerate(means)
        for j, value in enumerate(row)
    )


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(100):
        table = score_table(ratings_of(rng.normal(50, 10, (20, 1))), n_boot=400)
        hits += int(table["lo"][0] <= 50 <= table["hi"][0])
    assert 86 <= hits <= 99  # 93 is expected of a percentile bootstrap of 20


def test_equal_methods_are_rarely_called_different():
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(100):
        table = significance_table(ratings_of(rng.normal(50, 10, (20, 3))), n_boot=1)
        wrong += table[table["question"] == "quality"]["significant"].any()
    assert wrong <= 10  # 5 are expected over all three pairs together


def test_wilcoxon_and_holm_against_numbers_by_hand():
    # Six differences of one sign: 2 of the 2^6 signs are as extreme.
    means = np.column_stack([[1.0, 2, 3, 4, 5, 6], np.zeros(6)])
    assert significance_table(ratings_of(means), 10)["p"].tolist() == [2 / 64] * 2
    # With ties and zeros as well: five ones, whatever the sixth listener thinks equal.
    assert signed_rank(np.array([1.0, 1, 1, 1, 1, 0])) == 2 / 32
    # Ranks 1 to 4 with the smallest negative: 1 or less in 2 of 16, twice for two sides.
    assert signed_rank(np.array([-1.0, 2, 3, 4])) == 4 / 16
    assert significance_table(ratings_of(np.ones((6, 2))), 10)["p"].tolist() == [1, 1]
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1]) and holm([]) == []


def test_mos_has_its_own_threshold(tmp_path):
    clips = [("a", "x", "x"), ("b", "x", "x"), ("c", "x", "x")]
    results = make_results(tmp_path / "r", clips, ("L-MAC", "Random"), seconds=0.02)
    make_test([results], tmp_path / "t", scale="mos", clips=2)
    manifest, key = read_test(tmp_path / "t")
    for name, quality in (("good", 4), ("bad", 3)):
        scores = {REFERENCE: quality, "L-MAC": 2, "Random": 1}
        content = answers(manifest, key, name, lambda c, q, s=scores: s[c])
        write_json(tmp_path / "answers" / f"{name}.json", content)
    text = analyse(tmp_path / "t", tmp_path / "answers", n_boot=50)
    assert "- bad, screened out: rated the quality of the hidden reference below 4" in text
    assert "- good" not in text and "With 1 listeners (fewer than 6) no p can be" in text
    assert "MOS (1 to 5)" in text


@pytest.mark.parametrize(
    "spoil,message",
    [
        (lambda r: r["ratings"].pop(), "P.json: 1 of 30 stimuli are not rated; take the file out"),
        (lambda r: r["ratings"][3].update(quality=101), r"ratings\[3\]: quality .* 100, got 101"),
        (lambda r: r["ratings"][3].update(quality=True), "quality must be .* got True"),
        (lambda r: r["ratings"][3].update(quality=50.5), "quality must be .* got 50.5"),
        (lambda r: r["ratings"].append(r["ratings"][0]), "is rated twice"),
        (lambda r: r["ratings"][0].update(stimulus="x"), "no stimulus 'x' in this test"),
        (lambda r: r["ratings"][0].update(more=1), "must be an object with exactly"),
        (lambda r: r.update(test="other"), "answers the test 'other', this one is"),
        (lambda r: r.update(participant="../P"), "participant must be 1 to 40 letters.*'../P'"),
        (lambda r: r.update(comment="x" * 2001), "comment must be a text of at most 2000"),
        (lambda r: r.update(consent=True), "consent must be true where the test asks for it"),
        (lambda r: r.update(device="headphones"), "device must be '', got 'headphones'"),
        (lambda r: r.update(format=1), "format must be 'lmac-listening-response-2'"),
        (lambda r: r.pop("started"), "must be an object with exactly comment, consent"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_in_order_is_named(test_folder, tmp_path, spoil, message):
    manifest, key = read_test(test_folder)
    content = answers(manifest, key, "P", careful(0))
    spoil(content)
    write_json(tmp_path / "P.json", content)
    with pytest.raises(ValueError, match=message) as error:
        analyse(test_folder, tmp_path, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_more_mistakes_get_one_sentence(test_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no answers .*.json. in"):
        main([str(test_folder), str(tmp_path)])
    with pytest.raises(FileNotFoundError, match="There is no .*manifest.json: give a folder made"):
        main([str(tmp_path), str(tmp_path)])
    manifest, key = read_test(test_folder)
    for name in ("a", "b"):
        write_json(tmp_path / f"{name}.json", answers(manifest, key, "P", careless("always 50")))
    with pytest.raises(ValueError, match="b.json and a.json are both of participant 'P'"):
        main([str(test_folder), str(tmp_path)])
    (tmp_path / "b.json").unlink()
    with pytest.raises(ValueError, match="All listeners were screened out .P: rated.*--keep_all"):
        main([str(test_folder), str(tmp_path)])
    with pytest.raises(ValueError, match="--input_threshold on the scale from 0 to 100, got 101"):
        main([str(test_folder), str(tmp_path), "--input_threshold=101"])
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="a.json: it is not valid JSON; take the file out"):
        main([str(test_folder), str(tmp_path)])
