"""Manifests are written once, hold for a moved folder, and follow the files they name."""

import logging
import shutil
from collections import Counter

import numpy as np
import pytest
import soundfile
from speechbrain.dataio.dataset import DynamicItemDataset

from data_prep import manifest as manifest_module
from data_prep.manifest import COLUMNS, DamagedData, DataError, read_manifest, write_manifest
from lmac.io.provenance import mark_own


def write_clip(path, seconds=0.1, level=0.1):
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, level * np.ones(int(16000 * seconds)), 16000)


@pytest.fixture
def listed(tmp_path):
    """(folder, rows): three clips of 0.1, 0.2 and 0.3 s and what a data set's file says of them."""
    folder = tmp_path / "data"
    folder.mkdir()
    rows = []
    for i in range(3):
        write_clip(folder / f"a/{i}.wav", 0.1 * (i + 1))
        rows.append({"ID": f"c{i}", "wav": f"a/{i}.wav", "fold": i, "label": "x", "row": i + 2})
    return folder, rows


@pytest.fixture
def headers(monkeypatch):
    """Counts the headers that are read."""
    count = Counter()
    real = soundfile.info
    monkeypatch.setattr(
        manifest_module.soundfile, "info", lambda p: count.update([str(p)]) or real(p)
    )
    return count


def write(listed, path, folder=None):
    write_manifest(listed[1], path, folder or listed[0], "meta.csv")
    return read_manifest(path)


def test_a_person_and_speechbrain_can_read_it(listed, tmp_path):
    table = write(listed, tmp_path / "m.csv")
    assert table["duration"].tolist() == [0.1, 0.2, 0.3]
    assert table["fold"].tolist() == [0, 1, 2]
    assert list(table.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert (tmp_path / "m.csv").read_text().splitlines()[1] == "c0,0.1,a/0.wav,0,x,,,2,3244"
    dataset = DynamicItemDataset.from_csv(tmp_path / "m.csv", output_keys=["id", "wav", "duration"])
    assert dataset[1] == {"id": "c1", "wav": "a/1.wav", "duration": 0.2}


def test_it_is_written_once_and_holds_for_a_moved_folder(listed, tmp_path, headers, caplog):
    caplog.set_level(logging.INFO)
    write(listed, tmp_path / "m.csv")
    assert sum(headers.values()) == 3
    stat = (tmp_path / "m.csv").stat()
    shutil.copytree(listed[0], tmp_path / "moved", copy_function=shutil.copy)  # new dates
    write(listed, tmp_path / "m.csv")
    write(listed, tmp_path / "m.csv", tmp_path / "moved")
    now = (tmp_path / "m.csv").stat()
    assert (now.st_ino, now.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    assert sum(headers.values()) == 3
    assert [r.levelname for r in caplog.records] == ["INFO"]


def test_a_changed_file_is_measured_again_and_that_is_said(listed, tmp_path, headers, caplog):
    write(listed, tmp_path / "m.csv")
    write_clip(listed[0] / "a/1.wav", 0.5)
    assert write(listed, tmp_path / "m.csv")["duration"].tolist() == [0.1, 0.5, 0.3]
    assert headers[str(listed[0] / "a/1.wav")] == 2 and sum(headers.values()) == 4
    assert "m.csv no longer agreed with meta.csv (1 of 3 files are new" in caplog.text


@pytest.mark.parametrize("change", [{"label": "y"}, {"fold": 7}, {"source": "s"}, {"ID": "d"}])
def test_changed_metadata_redraws_it_without_reading_audio(
    listed, tmp_path, headers, caplog, change
):
    write(listed, tmp_path / "m.csv")
    listed[1][1].update(change)
    table = write(listed, tmp_path / "m.csv")
    key, value = next(iter(change.items()))
    assert table[key][1] == value and table["duration"][1] == 0.2
    assert sum(headers.values()) == 3
    assert "no longer agreed with meta.csv (the rows did)" in caplog.text


@pytest.mark.parametrize(
    "text", ["", "ID,duration,wav,fold,label,clean\nc0,9,a/0.wav,0,x,\n", "\0\0", "ID,wav\n1\n"]
)
def test_a_manifest_of_another_form_is_drawn_anew(listed, tmp_path, text, caplog):
    mark_own(tmp_path)
    (tmp_path / "m.csv").write_text(text)
    assert write(listed, tmp_path / "m.csv")["duration"].tolist() == [0.1, 0.2, 0.3]
    assert "was written anew" in caplog.text


def test_a_duration_that_is_no_number_is_measured_again(listed, tmp_path):
    write(listed, tmp_path / "m.csv")
    text = (tmp_path / "m.csv").read_text()
    (tmp_path / "m.csv").write_text(text.replace(",0.2,", ",nan,"))
    assert write(listed, tmp_path / "m.csv")["duration"].tolist() == [0.1, 0.2, 0.3]


def test_damaged_files_are_named_also_on_reuse(listed, tmp_path):
    write(listed, tmp_path / "m.csv")
    before = (tmp_path / "m.csv").read_bytes()
    (listed[0] / "a/1.wav").unlink()
    content = (listed[0] / "a/2.wav").read_bytes()
    (listed[0] / "a/2.wav").write_bytes(content[:2000])
    with pytest.raises(DamagedData, match=r"meta.csv, row 3, names .*1.wav, which does not") as e:
        write(listed, tmp_path / "m.csv")
    assert "and 1 more" in str(e.value) and "\n" not in str(e.value)
    assert "row 4, names" in e.value.problems[1] and "cut short" in e.value.problems[1]
    assert len(e.value.rows) == 3
    assert (tmp_path / "m.csv").read_bytes() == before


def test_two_clips_of_one_name_are_refused(listed, tmp_path):
    listed[1][2]["ID"] = "c0"
    with pytest.raises(DataError, match="meta.csv, row 4: clip c0 is also in row 2"):
        write(listed, tmp_path / "m.csv")


@pytest.mark.parametrize(
    "change,message", [({"fold": "1.5"}, "column fold holds '1.5'"), ({"label": ""}, "no label")]
)
def test_a_row_that_would_be_misread_is_named(listed, tmp_path, change, message):
    listed[1][1].update(change)
    with pytest.raises(DataError, match=f"meta.csv, row 3: .*{message}"):
        write(listed, tmp_path / "m.csv")


def test_rows_that_know_their_durations_need_no_folder(tmp_path):
    rows = [{"ID": "a", "duration": 1.5, "wav": "none.wav", "fold": 1, "label": "x", "clean": ""}]
    write_manifest(rows, tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv")["duration"].tolist() == [1.5]
