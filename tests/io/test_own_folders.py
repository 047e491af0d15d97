"""What a run did not make is named and left alone, in whatever folder it is told to write."""

import os

import pandas as pd
import pytest
from conftest import TINY

import train_classifier
from data_prep.manifest import DataError, write_manifest
from lmac.io.files import remove_remains
from lmac.io.provenance import PROVENANCE, WRITTEN, WRITTEN_FOLDERS, mark_own, require_own
from lmac.pages.page import MARK, write_page

WORDS = ["hparams/classifier.yaml", *TINY]


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["log.txt", "hyperparams.yaml", "SHA256SUMS", "best/mine.txt"])
def test_a_training_into_somebodys_folder_changes_nothing(tmp_path, name):
    (tmp_path / "deep").mkdir()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    for mine in (name, "load.py", "config.py", ".notes.new", "deep/.a.part-1"):
        (tmp_path / mine).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path / name.split('/')[0]} is in the way: no run"):
        train_classifier.main([*WORDS, f"--output_folder={tmp_path}"])
    assert contents(tmp_path) == before


def test_other_files_beside_a_run_stay(tmp_path):
    for mine in ("load.py", "config.py", ".notes.new", ".log.txt.part-7"):
        (tmp_path / mine).write_text("mine")
    require_own(tmp_path)
    mark_own(tmp_path)
    remove_remains(tmp_path)
    found = contents(tmp_path)
    assert len(found) == 5 and {v for k, v in found.items() if k.name != PROVENANCE} == {b"mine"}
    for name in WRITTEN[1:]:  # now it is ours
        (tmp_path / name).write_text("ours")
    for name in WRITTEN_FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").touch()
    require_own(tmp_path)


@pytest.mark.parametrize("name", ["log.txt", "hyperparams.yaml"])
def test_nothing_is_written_through_a_link_or_to_a_pipe(tmp_path, name):
    require_own(tmp_path / "run")
    mark_own(tmp_path / "run")
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run" / name).symlink_to(tmp_path / "precious")
    with pytest.raises(ValueError, match=f"{name} is in the way"):
        require_own(tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(ValueError, match=f"{name} is in the way"):
        require_own(tmp_path / "run")
    assert (tmp_path / "precious").read_text() == "mine"


ROWS = [{"ID": "a", "wav": "a.wav", "fold": 1, "label": "x", "duration": 1.0}]


def test_a_manifest_replaces_manifests_alone(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("name,wage\nme,1\n")
    with pytest.raises(DataError, match="mine.csv is there and is no manifest of this project"):
        write_manifest(ROWS, path)
    assert path.read_text() == "name,wage\nme,1\n"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe is there and is no manifest"):
        write_manifest(ROWS, tmp_path / "pipe")
    path.unlink()
    write_manifest(ROWS, path)
    write_manifest([{**ROWS[0], "label": "y"}], path)
    assert pd.read_csv(path)["label"].tolist() == ["y"]


def test_a_page_replaces_pages_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("lmac.pages.page.TEMPLATES", tmp_path / "templates")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "a.html").write_text("{{ text }}")
    page = write_page("a.html", tmp_path / "index.html", text="one")
    write_page("a.html", page, text="two")
    assert page.read_text() == f"two{MARK}"
    page.write_text("<p>my site</p>")
    with pytest.raises(ValueError, match="index.html is in the way: it is no page"):
        write_page("a.html", page, text="three")
    assert page.read_text() == "<p>my site</p>"
