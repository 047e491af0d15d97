"""A table of the paper: its numbers are those of the rows, and collecting computes nothing."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from latex import plain, tabulars
from planted import markdown_tables, plant

from lmac.evaluation.runs import table
from lmac.settings.compose import ConfigError
from metrics import METRICS, checks, paper_metrics
from metrics.ranks import RANK_CORRELATION

RECIPE = "recipes/ESC10/recipe.yaml:table2_mixtures"
LABEL = "published (ESC-50, other classifier)"
STFT = ["L-MAC", "Saliency", "IG", "All-ones"]
MEL = ["L-MAC", "GradCAM"]


@pytest.fixture(autouse=True)
def nothing_is_computed(monkeypatch):
    def fail(*arguments, **_):
        raise AssertionError(f"computed: {arguments}")

    monkeypatch.setattr(table, "evaluate", fail)
    monkeypatch.setattr(table, "subprocess", SimpleNamespace(run=fail))


@pytest.fixture
def results(tmp_path):
    """Two domains with rows, and no checkpoint anywhere; the rows in another order."""
    folder = tmp_path / "evaluation"
    plant(folder / "mixtures_stft", "mixtures", "stft", STFT[::-1], seed=1)
    plant(folder / "mixtures_mel", "mixtures", "mel", MEL, seed=2)
    return tmp_path


def collect(results, recipe=RECIPE, *more):
    argv = [recipe, "--collect_only=True", f"--results_folder={results}", "--n_boot=50", *more]
    table.main(argv)
    folder = results / "tables" / Path(recipe.replace(".yaml:", "/")).stem
    return {suffix: (folder / f"table.{suffix}").read_text() for suffix in ("csv", "md", "tex")}


def mean(results, domain, method, metric):
    rows = pd.read_csv(results / "evaluation" / f"mixtures_{domain}" / "metrics.csv")
    return rows[rows["method"] == method][metric].mean()


def test_numbers_are_those_of_the_rows_in_all_three_files(results):
    texts = collect(results)
    stft, mel = markdown_tables(texts["md"])
    cells = pd.read_csv(results / "tables" / "table2_mixtures" / "table.csv")
    ((_, latex_rows),) = tabulars(texts["tex"])
    latex = [[plain(raw) for raw, _ in row] for row in latex_rows]
    split = next(i for i, row in enumerate(latex) if row[0].startswith("Not listenable"))
    for domain, shown, block, methods in [
        ("stft", stft, latex[:split], STFT),
        ("mel", mel, latex[split:], MEL),
    ]:
        heads = [h.rstrip(" ↑↓") for h in shown["method"]]
        assert list(shown)[1 : len(methods) + 1] == methods  # in the table's order
        for method in methods:
            in_latex = next(row for row in block if row[0] == method)
            ours = cells[
                (cells["source"] == "ours")
                & (cells["domain"] == domain)
                & (cells["method"] == method)
            ].iloc[0]
            assert shown[method][0] == in_latex[1] == "12"
            for name, metric in ((n, METRICS[n]) for n in paper_metrics()):
                if method == "All-ones" and name in ("SPS", "COMP"):
                    continue
                by_hand = mean(results, domain, method, name)
                text = f"{by_hand:.{metric.decimals}f}"
                at = heads.index(name)
                assert shown[method][at].replace("**", "").split(" ")[0] == text
                assert in_latex[at + 1].split(" ")[0] == text
                assert ours[name] == pytest.approx(by_hand, rel=1e-8)
                low, high = shown[method][at].split("[")[1].strip("]").split(", ")
                assert float(low) <= float(text) <= float(high)
                assert f"[{low}, {high}]" in in_latex[at + 1]
            assert shown[method][heads.index("s/clip")] == "0.125"
    heads = [h.rstrip(" ↑↓") for h in stft["method"]]
    for name in checks():
        at = heads.index(name)
        assert stft["L-MAC"][at] == f"{mean(results, 'stft', 'L-MAC', name):.3g}"
        of_spectrum = name == "distance to source"
        audible = f"{mean(results, 'mel', 'L-MAC', name):.3g}" if of_spectrum else ""
        assert mel["L-MAC"][at] == audible


def test_accuracy_confidence_and_what_is_stated(results):
    texts = collect(results)
    # Clips 0, 3, 6, 9 of 12 are wrong; p is 0.1 + clip / 20.
    for text in ("md", "tex"):
        assert texts[text].count("mean confidence 0.375") == 2
    assert texts["md"].count("66.7 %") == 2 and texts["tex"].count(r"66.7\,\%") == 2
    cells = pd.read_csv(results / "tables" / "table2_mixtures" / "table.csv")
    ours = cells[cells["source"] == "ours"]
    assert ours["accuracy"].to_numpy() == pytest.approx(200 / 3)
    assert ours["confidence"].to_numpy() == pytest.approx(0.375)
    # What both domains state is stated once, the rest with its domain.
    assert texts["md"].count("Data: twelve clips & 50 % noise.") == 1
    assert texts["md"].index("Run: stft on") < texts["md"].index("Run: mel on")
    assert r"mixtures, mel: Run: mel on paper\_1." in texts["tex"]


def test_collecting_again_changes_no_byte(results):
    first = collect(results)
    assert collect(results) == first
    before = sorted(p for p in results.rglob("*"))
    collect(results, RECIPE, "--domains=[mel]", "--methods=[IG]")
    assert sorted(p for p in results.rglob("*")) == before
    assert collect(results) == first


def test_bold_is_the_best_of_those_that_are_ranked(results):
    texts = collect(results)
    stft, mel = markdown_tables(texts["md"])
    for domain, shown, methods in [("stft", stft, STFT[:3]), ("mel", mel, MEL)]:
        for at, head in enumerate(shown["method"]):
            name = head.rstrip(" ↑↓")
            if name not in paper_metrics() or METRICS[name].better is None:
                continue
            means = {m: round(mean(results, domain, m, name), 2) for m in methods}
            best = (max if METRICS[name].better == "up" else min)(means.values())
            bold = {m for m, cells in shown.items() if cells[at].startswith("**")}
            assert bold == {m for m in methods if means[m] == best}, (domain, name)
    assert "**" not in "".join(sum((c for m, c in stft.items() if LABEL in m), []))


def test_published_rows_of_this_scenario_beside_ours(results):
    texts = collect(results)
    stft, mel = markdown_tables(texts["md"])
    heads = [h.rstrip(" ↑↓") for h in stft["method"]]
    row = dict(zip(heads, stft[f"L-MAC FT, {LABEL}"], strict=True))
    assert row["AI"] == "50.75" and row["AD (published)"] == "6.73" and row["AD"] == ""
    assert row["n"] == "" and row["COMP"] == "10.51"
    assert mel[f"IG, {LABEL}"][heads.index("FF")] == "0.19"
    assert sum(LABEL in m for m in stft) == 10 and sum(LABEL in m for m in mel) == 9
    cells = pd.read_csv(results / "tables" / "table2_mixtures" / "table.csv")
    theirs = cells[(cells["source"] == LABEL) & (cells["domain"] == "mel")].set_index("method")
    assert theirs.loc["GradCAM", "AI"] == 19.88 and theirs.loc["GradCAM", "AD (published)"] == 18.85
    assert np.isnan(theirs.loc["GradCAM", "AD"]) and np.isnan(theirs.loc["GradCAM", "n"])


QUIRKS = {"id": "compare ours with 2 ×", "mixtures": "Fid-In 0.00", "white_noise": "shifted"}


@pytest.mark.parametrize(
    "recipe,scenario",
    [(f"recipes/{place.format(name)}", name.partition("_")[2])
     for place in ("ESC10/recipe.yaml:{}", "ESC50_published/recipe.yaml:{}")
     for name in ("table1_id", "table2_mixtures", "table3_white_noise", "table4_speech")],
)  # fmt: skip
def test_each_table_has_its_own_footnotes_and_published_rows(recipe, scenario, tmp_path):
    for domain in ("stft", "mel"):
        folder = tmp_path / "evaluation" / f"{scenario}_{domain}"
        plant(folder, scenario, domain, ["IG"], clips=4)
    texts = collect(tmp_path, recipe)
    for of, words in QUIRKS.items():
        for text in (texts["md"], texts["tex"].replace(r"$\times$", "×")):
            assert text.count(words) == (of == scenario), words
    for text in (texts["md"], texts["tex"]):
        assert text.count("caps it at about 63") == 1
    label = LABEL if "ESC10" in recipe else "published (authors' checkpoints)"
    published = {
        "id": ("15.45", "15.55"),
        "mixtures": ("31.15", "31.52"),
        "white_noise": ("25.60", None),
        "speech": ("25.70", None),
    }[scenario]
    for drop, shown in zip(published, markdown_tables(texts["md"]), strict=True):
        theirs = shown.get(f"IG, {label}")
        at = shown["method"].index("AD (published) ↓")
        assert (theirs[at] if theirs else None) == drop
    accuracies = {"white_noise": "38.6", "speech": "79.3"}
    assert texts["md"].count("accuracy published") == (scenario in accuracies)
    assert f"accuracy published: {accuracies.get(scenario)} %" in texts["md"] or (
        scenario not in accuracies
    )
    ((columns, rows),) = tabulars(texts["tex"])
    assert {sum(span for _, span in row) for row in rows} == {columns}


def test_noise_that_was_not_trained_in_has_no_published_rows(tmp_path):
    for domain in ("stft", "mel"):
        plant(tmp_path / "evaluation" / f"noise_{domain}", "noise", domain, ["IG"], clips=4)
    texts = collect(tmp_path, "recipes/ESC10/recipe.yaml:table1_noise")
    for text in texts.values():
        assert LABEL not in text and "half of what their definitions" not in text
    assert all(list(shown) == ["method", "IG"] for shown in markdown_tables(texts["md"]))
    cells = pd.read_csv(tmp_path / "tables" / "table1_noise" / "table.csv")
    assert cells["source"].eq("ours").all() and cells["scenario"].eq("noise").all()


def test_null_leaves_published_rows_out_where_there_are_some(results):
    texts = collect(results, RECIPE, "--published_table=null")
    assert all(LABEL not in text for text in texts.values())


def test_says_what_is_missing(results, capsys):
    folder = results / "evaluation" / "mixtures_stft"
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    # L-MAC is last in the file: cut by a kill, in the middle of a line.
    (folder / "metrics.csv").write_text("".join(lines[:-2]) + lines[-2][:30])
    texts = collect(results)
    shown = capsys.readouterr().out
    for text in (texts["md"], texts["tex"], shown):
        assert "L-MAC FT (stft), L-MAC refined (stft), SmoothGrad (stft), GradCAM (stft)" in text
        assert "L-MAC (stft: 2 of 12 clips)" in text
        assert "L2I (stft)" in text and "L2I (mel)" not in text
        assert "IG (stft" not in text
    assert (folder / "metrics.csv").read_text().endswith(lines[-2][:30])
    for path in (results / "evaluation" / "mixtures_mel").iterdir():
        path.unlink()
    text = collect(results)["md"]
    assert "Not evaluated: the whole domain mel, " in text and "(mel)" not in text
    assert len(markdown_tables(text)) == 1
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="No evaluation in .*_stft or .*_mel: run this without"):
        collect(results)


def test_an_evaluation_that_was_cut_short_says_so(results):
    note = results / "evaluation" / "mixtures_mel" / "evaluation.json"
    content = json.loads(note.read_text())
    del content["statement"]
    note.write_text(json.dumps(content))
    texts = collect(results)
    assert texts["md"].count("This evaluation was cut short") == 1
    assert texts["md"].count("Data: twelve clips & 50 % noise.") == 1


def test_domains_of_different_classifiers_do_not_share_a_table(results):
    note = results / "evaluation" / "mixtures_mel" / "evaluation.json"
    note.write_text(json.dumps({"setting": {"classifier": "other", "manifest": "def"}}))
    with pytest.raises(ValueError, match="mixtures, stft and mixtures, mel.*classifier each"):
        collect(results)


def test_rows_of_another_scenario_are_refused(results):
    plant(results / "evaluation" / "mixtures_mel", "speech", "mel", MEL)
    with pytest.raises(ValueError, match="rows of .'speech', 'mel'.*expected scenario mixtures"):
        collect(results)


def test_the_randomisation_check_becomes_a_footnote(results):
    rows = pd.DataFrame(
        {
            "method": ["IG"] * 4 + ["L-MAC"] * 4 + ["All-ones"] * 4,
            "target_id": list("aabb") * 3,
            "ID": list("abcd") * 3,
            RANK_CORRELATION: [0.5, 0.5, 0.5, 0.5, 0.1, 0.2, 0.3, None] + [None] * 4,
        }
    )
    rows.to_csv(results / "evaluation" / "mixtures_stft" / "randomisation.csv", index=False)
    texts = collect(results)
    found = texts["md"].split("re-initialised classifier (4 clips): ")[1].split("\n")[0]
    assert found.startswith("L-MAC 0.20 [") and found.endswith(
        "(1 undefined), IG 0.50 [0.50, 0.50], All-ones (4 undefined)."
    )
    assert texts["md"].count("Weight randomisation") == 1
    assert texts["tex"].count("mixtures, stft: Weight randomisation") == 1


def test_methods_and_domains_are_restricted(results, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(
        table, "evaluate", lambda argv, domain, names: calls.append((domain, names))
    )
    argv = [RECIPE, f"--results_folder={results}", "--n_boot=50"]
    table.main(argv)
    (one, stft), (two, mel) = calls
    assert (one, two) == ("stft", "mel")
    assert len(stft) == 14 and [m for m in stft if m != "L2I"] == mel
    assert {"L-MAC", "L-MAC FT", "L2I", "Oracle", "Guided GradCAM"} <= set(stft)
    calls.clear()
    # A method that no domain lists runs where it is asked for; one that is not there is refused.
    table.main([*argv, "--methods=[L2I,Guided GradCAM,L-MAC-ZS]", "--domains=[mel]"])
    assert calls == [("mel", ["Guided GradCAM", "L-MAC-ZS"])]
    calls.clear()
    with pytest.raises(ConfigError, match="there is no method Mine, expected some of L-MAC, "):
        table.main([*argv, "--methods=[L2I,Guided GradCAM,Mine]", "--domains=[mel]"])
    assert calls == []
    calls.clear()
    table.main([*argv, "--methods=[L2I]"])
    assert calls == [("stft", ["L2I"])]
    assert "Listenable" in capsys.readouterr().out


def test_an_evaluation_runs_in_its_own_process_and_its_failure_ends_this_one(monkeypatch):
    monkeypatch.undo()
    commands = []

    def run(command):
        commands.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(table, "subprocess", SimpleNamespace(run=run))
    with pytest.raises(SystemExit) as stop:
        table.main([RECIPE, "--data_folder=x", "--methods=[IG,Guided GradCAM]"])
    assert stop.value.code == 3 and len(commands) == 1
    assert commands[0][1:] == [
        "-m", "lmac", "evaluate", RECIPE, "--data_folder=x",
        "--methods=[IG,Guided GradCAM]", "--domain=stft", "--methods=[IG,Guided GradCAM]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "override,message",
    [
        ("--domain=mel", "--domain is set for each domain: give --domains="),
        ("--output_folder=x", "--output_folder is set for each domain: give --evaluation_folder="),
        ("--domains=[cqt]", r"--domains=\[cqt\]: expected a list of some of stft, mel"),
        ("--colect_only=True", "Unknown override --colect_only.*collect_only"),
        ("--published_table=7", "has no table '7'"),
    ],
)
def test_mistakes_get_one_sentence(results, override, message):
    with pytest.raises(ValueError, match=message) as error:
        collect(results, RECIPE, override)
    assert "\n" not in str(error.value)


def test_the_committed_results_can_be_collected(tmp_path):
    texts = collect(tmp_path, RECIPE, "--evaluation_folder=recipes/ESC10/results")
    summary = pd.read_csv("recipes/ESC10/results/mixtures_stft/summary.csv").set_index("method")
    shown = markdown_tables(texts["md"])[0]
    assert shown["L-MAC"][1].replace("**", "").startswith(f"{summary.loc['L-MAC', 'AI']:.2f} ")
