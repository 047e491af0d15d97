"""Files are whole or as they were, whatever happens while they are written."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lmac.io import files
from lmac.io.files import (
    SUMS,
    Damaged,
    Unwritable,
    damage,
    is_sealed,
    read_sums,
    remove_remains,
    require_undamaged,
    seal,
    whole,
    write_checked,
)
from lmac.settings.cli import run


class Killed(BaseException):
    pass


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def write(folder, **texts):
    write_checked({n: lambda file, t=t: file.write(t.encode()) for n, t in texts.items()}, folder)


def test_sha256sum_agrees(tmp_path):
    write(tmp_path, one="1", two="2")
    write(tmp_path, two="second")
    check = ["sha256sum", "-c", "--strict", SUMS]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / "two").write_text("Second")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1
    assert damage(tmp_path / "one") is None
    with pytest.raises(Damaged, match="two is damaged or was changed: .* beside it: write it anew"):
        require_undamaged(tmp_path / "two", "write it anew.")


def test_what_is_not_listed_or_not_there_is_not_damaged(tmp_path):
    (tmp_path / "own").write_text("by hand")
    assert damage(tmp_path / "own") is None and damage(tmp_path / "none" / "x") is None
    write(tmp_path, one="1")
    (tmp_path / "one").unlink()
    assert damage(tmp_path / "own") is None and damage(tmp_path / "one") is None


@pytest.mark.parametrize("text", ["", "0" * 63 + "  one\n", "0" * 64 + " one\n", "garbage\n"])
def test_a_damaged_list_is_no_list(tmp_path, text):
    write(tmp_path, one="1")
    (tmp_path / SUMS).write_text(text)
    if text:
        assert f"{SUMS} is damaged" in damage(tmp_path / "one")
        with pytest.raises(Damaged, match="expected the SHA-256"):
            read_sums(tmp_path)
    write(tmp_path, one="1")  # writing goes on all the same
    assert damage(tmp_path / "one") is None


def kill_at(monkeypatch, moment):
    """Kill at the ``moment``-th call of what touches the disk."""
    left = [moment]
    for name in ("replace", "fsync", "unlink"):
        original = getattr(os, name)

        def counted(*args, original=original, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, counted)


@pytest.mark.parametrize("names", [("one",), ("one", "two")])
def test_a_kill_leaves_what_was_or_what_is_and_never_a_mixture(tmp_path, names):
    old, new = ({name: text for name in names} for text in ("old", "new"))
    ends = set()
    for moment in range(1, 30):
        folder = tmp_path / str(moment)
        write(folder, **old)
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, moment)
            try:
                write(folder, **new)
                killed = False
            except Killed:
                killed = True
        found = {name: (folder / name).read_text() for name in names}
        assert set(found.values()) <= {"old", "new"}
        right = [name for name in names if damage(folder / name) is None]
        if found != new:
            # Those of before, or none is trusted that was not exchanged yet.
            assert found == old or "old" not in [found[name] for name in right]
        if len(names) == 1:
            assert right == list(names)
        ends.add(tuple(found.values()))
        write(folder, **new)
        remove_remains(folder)
        assert set(contents(folder)) == {*names, SUMS} and damage(folder / "one") is None
        if not killed:
            break
    assert not killed and {(text,) * len(names) for text in ("old", "new")} <= ends


def test_remains_of_one_file_go_and_others_stay(tmp_path):
    ours = ["..rows.csv.lmac-new.lmac-part-123", ".rows.csv.lmac-new", ".rows.md.lmac-part-9"]
    others = [
        ".rows2.csv.lmac-new",
        "..metrics.csv.lmac-new.lmac-part-7",
        "rows.csv",
        ".rows.csv.new",
    ]
    for name in ours + others:
        (tmp_path / name).touch()
    remove_remains(tmp_path, "rows.*")
    assert {p.name for p in tmp_path.iterdir()} == set(others)
    remove_remains(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"rows.csv", ".rows.csv.new"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_takes_nothing_leaves_the_earlier_file_and_says_so(tmp_path, monkeypatch, code):
    write(tmp_path, one="1")
    before = contents(tmp_path)

    def full(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    for attempt in (lambda: write(tmp_path, one="2"), lambda: write_whole(tmp_path / "one")):
        with pytest.raises(Unwritable, match=f"{os.strerror(code)}.*make room") as error:
            attempt()
        assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
        assert contents(tmp_path) == before
    for raised in (Unwritable("x cannot be written: make room."), OSError(code, "full", "/x")):

        def main(argv, raised=raised):
            raise raised

        with pytest.raises(SystemExit, match="^error: .*x cannot be written.* make room"):
            run(main, ["x"])


def write_whole(path):
    with whole(path) as file:
        file.write(b"2")


def test_a_folder_that_is_read_only(tmp_path):
    """A real one; skipped where nothing may be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount")
    try:
        write(tmp_path, one="1")
        before = contents(tmp_path)
        with pytest.raises(Unwritable, match="No space left on device"):
            write(tmp_path, one="2" * 100_000)
        assert contents(tmp_path) == before
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path)], check=True)
        with pytest.raises(Unwritable, match="Read-only file system"):
            write(tmp_path, one="2")
        assert contents(tmp_path) == before
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_seals(tmp_path):
    path = Path(tmp_path, "x")
    with whole(path, "w+b") as file:
        file.write(b"content" * 1000)
        seal(file)
    sealed = path.read_bytes()
    assert is_sealed(path) and sealed.startswith(b"content" * 1000)
    for where in (0, 5000, 7000, len(sealed) - 1):
        path.write_bytes(sealed[:where])
        assert not is_sealed(path)
        path.write_bytes(sealed[:where] + bytes([sealed[where] ^ 4]) + sealed[where + 1 :])
        assert not is_sealed(path)
    path.write_bytes(b"")
    assert not is_sealed(path) and not is_sealed(tmp_path / "none")
    assert files.digest_of(path).startswith("e3b0c442")  # of nothing, as everybody knows
