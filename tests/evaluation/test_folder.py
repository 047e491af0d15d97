"""The owner of an evaluation's folder: what it keeps, what it refuses, and what it makes of it."""

import csv
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import plant

from lmac.evaluation.files import PICTURES, PUBLISHED
from lmac.evaluation.folder import COLUMNS, EvaluationFolder, _made_with
from lmac.io.checked_rows import with_checks
from lmac.io.files import Damaged, write_text
from metrics.summary import bootstrap_interval

SETTING = {"scenario": "mixtures", "domain": "stft", "classifier": "abc"}
METHODS = {"IG": {"description": "IG(steps=25)"}, "Random": {"description": "Random()"}}


def row(method, ID, p_in=0.25):
    """As an evaluation writes it; only some metrics are defined."""
    cells = dict.fromkeys(COLUMNS, "")
    return cells | {
        "scenario": "mixtures", "domain": "stft", "method": method, "ID": ID, "target_id": ID[:1],
        "label": "dog", "decision": "dog", "correct": 1, "p": 0.5, "p_in": repr(p_in),
        "p_out": 0.1, "AI": 0.0, "s/clip": 0.1,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    folder = EvaluationFolder(tmp_path / "evaluation")
    folder.begin(SETTING, METHODS)
    folder.append([row("Random", "a1"), row("Random", "b1")])
    folder.append([row("IG", "a1", 1 / 3)])
    return folder


def test_rows_are_there_for_whoever_opens_it_next(folder):
    again = EvaluationFolder(folder.path)
    again.begin(SETTING, METHODS)
    assert not again.missing("Random", ["a1", "b1"]) and again.missing("IG", ["a1", "b1"])
    again.append([row("IG", "a1", 0.9), row("IG", "b1")])
    table = again.rows(["IG", "Random"])
    assert list(table["method"]) == ["IG", "IG", "Random", "Random"]
    assert table["p_in"].to_list() == [1 / 3, 0.25, 0.25, 0.25]  # to the last digit, none twice
    assert list(again.rows()["method"]) == ["Random", "Random", "IG", "IG"]


def test_a_line_that_a_kill_cut_short_is_computed_again(folder):
    text = folder.metrics_csv.read_text()
    folder.metrics_csv.write_text(text + "mixtures,stft,IG,b1,b,do")
    again = EvaluationFolder(folder.path)
    assert len(again.rows()) == 3  # reading changes nothing
    assert folder.metrics_csv.read_text() != text
    again.begin(SETTING, METHODS)
    assert folder.metrics_csv.read_text() == text and again.missing("IG", ["b1"])


def left_by_process(folder, number, rows, cut=""):
    """What one of several processes had written when it was killed."""
    path = folder.path / f"metrics.process{number}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        file.write(cut)


def test_rows_of_killed_processes_are_taken_over_by_the_next_start(folder):
    left_by_process(folder, 0, [row("IG", "a1", 0.9), row("IG", "c1")])  # the first was merged
    left_by_process(folder, 3, [row("IG", "b1", 1 / 7)], cut="mixtures,stft,IG,d1,d,do")
    left_by_process(folder, 10, [])
    assert len(folder.rows()) == 3  # a reader sees what is merged
    again = EvaluationFolder(folder.path)
    again.begin(SETTING, METHODS)
    assert not again.missing("IG", ["a1", "b1", "c1"]) and again.missing("IG", ["d1"])
    assert not list(folder.path.glob("metrics.process*"))
    table = again.rows().set_index(["method", "ID"])
    assert len(table) == 5 and table.index.is_unique
    assert table["p_in"][("IG", "a1")] == 1 / 3 and table["p_in"][("IG", "b1")] == 1 / 7


def test_rows_of_processes_go_with_the_file_that_somebody_deleted(folder):
    left_by_process(folder, 1, [row("IG", "b1")])
    folder.metrics_csv.unlink()
    again = EvaluationFolder(folder.path)
    again.begin(SETTING, METHODS)
    assert again.rows().empty and not list(folder.path.glob("metrics.process*"))


def test_rows_of_processes_with_another_setting_are_refused_as_any(folder):
    folder.metrics_csv.write_text(folder.metrics_csv.read_text().splitlines()[0] + "\n")
    left_by_process(folder, 1, [row("IG", "b1")])
    with pytest.raises(ValueError, match="rows of another classifier"):
        EvaluationFolder(folder.path).begin({**SETTING, "classifier": "xyz"}, METHODS)


def test_the_finished_file_is_the_same_whoever_wrote_it(tmp_path):
    """By one process, by three with and without a kill, and in another order."""
    ids = ["b1", "a1", "c1", "a2"]
    rows = [row(m, ID, 1 / (i + 3)) for m in ("Random", "IG") for i, ID in enumerate(ids)]
    texts = []
    for name, first, parts in (
        ("one", rows, []),
        ("three", [], [rows[5:], rows[:2], rows[2:5]]),
        ("killed", rows[3:6], [rows[6:], [], rows[:5]]),
        ("backwards", rows[::-1], []),
    ):
        folder = EvaluationFolder(tmp_path / name)
        folder.begin(SETTING, METHODS)
        pd.DataFrame({"ID": ids}).to_csv(folder.path / "scenario.csv", index=False)
        folder.append(first)
        for number, part in enumerate(parts):
            left_by_process(folder, number, part)
        folder.finish(["IG", "Random"])
        texts.append(folder.metrics_csv.read_text())
        assert not list(folder.path.glob("metrics.process*"))
        table = folder.rows()
        assert list(table["method"]) == ["IG"] * 4 + ["Random"] * 4
        assert list(table["ID"]) == ids * 2
    assert len(set(texts)) == 1 and repr(1 / 3) in texts[0]


def test_rows_of_another_setting_are_refused_and_of_a_changed_method_dropped(folder):
    with pytest.raises(ValueError, match="rows of another classifier .'abc', now 'xyz'"):
        EvaluationFolder(folder.path).begin({**SETTING, "classifier": "xyz"}, METHODS)
    changed = {"IG": {"description": "IG(steps=50)"}}
    again = EvaluationFolder(folder.path)
    again.begin(SETTING, changed)
    assert set(again.rows()["method"]) == {"Random"} and again.missing("IG", ["a1"])
    assert again.note["methods"] == {**METHODS, **changed}


def test_a_table_of_another_version_is_not_continued(folder):
    table = folder.rows().drop(columns="MM")
    table.to_csv(folder.metrics_csv, index=False)
    with pytest.raises(ValueError, match="has other columns than this version writes"):
        EvaluationFolder(folder.path).begin(SETTING, METHODS)
    assert len(EvaluationFolder(folder.path).rows()) == 3  # but can be looked at
    assert "MM" not in folder.summary(folder.rows(), 10)


def test_the_statement_survives_another_evaluation_of_the_same_folder(folder):
    assert folder.statement == {}
    statement = {"title": "# T", "data": "Data: 2 clips."}
    folder.write_table(folder.summary(folder.rows(), 10), "# T\n", statement)
    again = EvaluationFolder(folder.path)
    again.begin(SETTING, METHODS)
    assert again.statement == statement
    assert json.loads((folder.path / "evaluation.json").read_text())["setting"] == SETTING


def test_intervals_know_what_clips_share_from_the_manifest(tmp_path):
    rows = plant(tmp_path, "mixtures", "stft", ["IG"], clips=12)
    folder = EvaluationFolder(tmp_path)
    alone = folder.summary(folder.rows(), 200).iloc[0]
    drawn = [f"{i % 3}.wav" for i in range(12)]
    ids = list(rows["ID"])
    pd.DataFrame({"ID": ids[::-1], "contaminant_wav": drawn[::-1]}).to_csv(
        tmp_path / "scenario.csv", index=False
    )
    shared = folder.summary(folder.rows(), 200).iloc[0]
    expected = bootstrap_interval(rows["FF"], 200, groups=rows["target_id"], crossed=drawn)
    assert (shared["FF lo"], shared["FF hi"]) == pytest.approx(expected)
    assert shared["FF"] == alone["FF"] and (alone["FF lo"], alone["FF hi"]) != expected
    # Noise that is drawn for each clip has no file, and is shared with nobody.
    pd.DataFrame({"ID": ids, "contaminant_wav": ""}).to_csv(tmp_path / "scenario.csv", index=False)
    again = folder.summary(folder.rows(), 200).iloc[0]
    np.testing.assert_equal(again.to_numpy(), alone.to_numpy())


def test_the_manifest_is_kept_beside_the_results(folder, tmp_path):
    (tmp_path / "elsewhere.csv").write_text("ID\na1\n")
    folder.keep_manifest(tmp_path / "elsewhere.csv")
    assert list(folder.scenario["ID"]) == ["a1"]
    folder.keep_manifest(folder.path / "scenario.csv")  # itself
    assert list(folder.scenario["ID"]) == ["a1"]


def test_clips_and_their_files(folder):
    (folder.sample("a1", "IG")).mkdir(parents=True)
    (folder.sample("a1") / "input.wav").write_text("sound")
    one, two = folder.clips()
    assert (one.ID, two.ID) == ("a1", "b1") and set(one.rows) == {"Random", "IG"}
    assert one.input == one.input_of("IG") == folder.path / "samples" / "a1" / "input.wav"
    assert one.file("IG", "removed.wav") is None and two.input is None
    assert one.shared("target.wav") is None
    # Folders of earlier versions have an input beside the sounds of each method.
    (folder.sample("a1", "IG") / "input.wav").write_text("sound")
    assert one.input_of("IG") == folder.path / "samples" / "a1" / "IG" / "input.wav"
    assert one.input_of("Random") == folder.path / "samples" / "a1" / "input.wav"
    (folder.sample("a1") / "input.wav").unlink()
    assert one.input == folder.path / "samples" / "a1" / "IG" / "input.wav"
    assert [c.ID for c in folder.clips_with_samples()] == ["a1"]
    shutil.rmtree(folder.path / "samples")
    with pytest.raises(ValueError, match="has no audio or pictures .* --listen=10"):
        folder.clips_with_samples()


@pytest.mark.parametrize(
    "damage,message",
    [
        (
            lambda t: t.replace("0.5,0.25", "0.5,half", 1),
            "line 2: p_in must be a number, got 'half'",
        ),
        (lambda t: t.replace(",0.5,", ",,", 1), "line 2: p must be a number, got an empty cell"),
        (lambda t: t + t.splitlines(keepends=True)[1], "line 5: a second row of 'a1' and "),
        (lambda t: t.replace("target_id", "target", 1), "lacks the columns target_id"),
    ],
)
def test_what_is_wrong_in_a_file_without_checksums_is_named_with_its_line(folder, damage, message):
    folder.metrics_csv.write_text(damage(of_an_earlier_version(folder)))
    with pytest.raises(ValueError, match=message) as error:
        folder.rows()
    assert "\n" not in str(error.value)


def of_an_earlier_version(folder):
    """Its rows without checksums."""
    lines = folder.metrics_csv.read_text().splitlines()
    return "".join(line.rpartition(",")[0] + "\n" for line in lines)


def begun(folder, setting=SETTING, methods=METHODS):
    again = EvaluationFolder(folder.path)
    again.begin(setting, methods)
    return again


def test_rows_of_an_earlier_version_are_kept_and_get_checksums(folder):
    text = folder.metrics_csv.read_text()
    folder.metrics_csv.write_text(of_an_earlier_version(folder))
    assert len(folder.rows()) == 3
    assert begun(folder).done == {("Random", "a1"), ("Random", "b1"), ("IG", "a1")}
    assert folder.metrics_csv.read_text() == text


def test_the_set_of_metrics_may_change(folder):
    made = _made_with(folder.note)
    text = folder.metrics_csv.read_text()
    # One that is new: rows of the methods asked for are computed again, it is empty in the others.
    folder.metrics_csv.write_text(with_checks(folder.rows().drop(columns="MM"), made))
    assert len(folder.rows()) == 3
    again = begun(folder, methods={"IG": METHODS["IG"]})
    assert again.missing("IG", ["a1"]) and not again.missing("Random", ["a1", "b1"])
    assert again.rows()["MM"].isna().all()
    # One that is gone is left out, and nothing is computed.
    folder.metrics_csv.write_text(text)
    older = folder.rows().assign(toy=0.5)
    folder.metrics_csv.write_text(with_checks(older, made))
    again = begun(folder)
    assert len(again.done) == 3 and list(again.rows().columns) == list(COLUMNS)


def test_every_byte_of_a_row_is_watched_and_the_other_rows_are_kept(folder, caplog):
    whole = folder.metrics_csv.read_bytes()
    ends = np.flatnonzero(np.frombuffer(whole, np.uint8) == ord("\n"))
    for where in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[where] ^= 1 << where % 7
        folder.metrics_csv.write_bytes(damaged)
        line = int((ends < where).sum())
        with pytest.raises(Damaged, match="is damaged .*evaluate with the same command"):
            folder.rows()
        kept = begun(folder).done
        assert {("Random", "a1"), ("Random", "b1"), ("IG", "a1")} - kept <= {
            # An end of line or a quotation mark that came or went takes the next one along.
            *[("Random", "a1"), ("Random", "b1"), ("IG", "a1")][max(0, line - 1) : line + 1]
        }
        assert len(kept) >= 1 and "rows are kept" in caplog.text
        caplog.clear()
        folder.metrics_csv.write_bytes(whole)
    assert begun(folder).done == {("Random", "a1"), ("Random", "b1"), ("IG", "a1")}


@pytest.mark.parametrize("damage", [lambda t: t.replace("steps=25", "steps=26"), lambda t: t[:40]])
def test_a_damaged_note_loses_no_rows_and_takes_over_none_of_others(folder, damage, caplog):
    note = folder.path / "evaluation.json"
    whole = note.read_text()
    note.write_text(damage(whole))
    with pytest.raises(Damaged, match="evaluation.json is damaged .*evaluate with the same"):
        folder.rows()
    with pytest.raises(Damaged, match="rows of IG, Random were not computed with what is asked"):
        begun(folder, {**SETTING, "classifier": "xyz"})
    with pytest.raises(Damaged, match="rows of Random were not computed .* its --methods"):
        begun(folder, methods={"IG": METHODS["IG"]})
    assert len(begun(folder).done) == 3 and note.read_text() == whole
    assert "evaluation.json is damaged" in caplog.text and "written anew" in caplog.text


def test_other_damaged_files_are_named(folder):
    for name in ("scenario.csv", "summary.csv"):
        write_text("ID,method\na1,IG\n", folder.path / name, checked=True)
        (folder.path / name).write_text("ID,method\na2,IG\n")
    with pytest.raises(Damaged, match="summary.csv is damaged.* evaluate with the same command"):
        folder.written_summary  # noqa: B018
    with pytest.raises(Damaged, match="scenario.csv is damaged.* delete it to draw it again"):
        folder.scenario  # noqa: B018
    folder.write_check("randomisation", pd.DataFrame({"ID": ["a1"]}))
    assert folder.check("randomisation") is not None
    (folder.path / "randomisation.csv").write_text("ID\na2\n")
    assert folder.check("randomisation") is None


def test_a_folder_without_rows_says_what_to_give(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no .*metrics.csv: give the --output_f"):
        EvaluationFolder(tmp_path).rows()


def test_nobody_else_reads_or_writes_these_files():
    """The names of the files are in one module, and those of paper tables where they are made."""
    of_tables = ("files.py", "paper_table.py", "publish.py")
    of_tables += ("provenance.py",)  # which knows what a run may write over
    root = Path(__file__).resolve().parents[2]
    code = [
        p
        for d in ("lmac", "interpreters", "metrics", "data_prep")
        for p in (root / d).rglob("*.py")
    ]
    code += list(root.glob("*.py"))
    for path in code:
        text = path.read_text(encoding="utf-8")
        for name in ("metrics.csv", "evaluation.json", "table.md", "summary.csv"):
            quoted = f'"{name}"' in text
            assert not quoted or path.name in ("folder.py", *of_tables), (path, name)
    # A figure of numbers may be published; no sound, and no picture of one.
    pictures = [name for name in PUBLISHED + PICTURES if name.endswith((".wav", ".png"))]
    assert sorted(pictures) == ["asked.png", "audit.png", "planted_cues.png"]


@pytest.mark.parametrize("ID", ["../../up", "/etc/x", "..", "a/b", "x" * 300])
def test_samples_stay_in_the_folder_whatever_a_clip_is_called(folder, ID):
    folder.append([row("IG", ID)])
    folder.sample(ID, "IG").mkdir(parents=True)
    (folder.sample(ID, "IG") / "input.wav").write_text("sound")
    assert folder.sample(ID, "../../..").resolve().is_relative_to(folder.path / "samples")
    assert folder.sample(ID, "IG").resolve().parent.parent == (folder.path / "samples").resolve()
    (clip,) = folder.clips_with_samples()
    assert clip.ID == ID and clip.input == folder.sample(ID, "IG") / "input.wav"


def test_published_rows_may_be_compressed(folder):
    before = folder.rows()
    folder.write_check("audit_clips", pd.DataFrame({"ID": ["a1"], "p": [0.5]}))
    for name in ("metrics.csv", "audit_clips.csv"):
        path = folder.path / name
        path.with_name(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    again = EvaluationFolder(folder.path)
    pd.testing.assert_frame_equal(again.rows(), before)
    assert again.check("audit_clips")["p"].tolist() == [0.5] and again.has_rows
    packed = folder.path / "metrics.csv.gz"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(Damaged, match="metrics.csv.gz is damaged"):
        again.rows()
