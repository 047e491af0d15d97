"""Faults: a few of each part of benchmarks/soak, and the frame that counts them."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import soak
from benchmarks.soak.__main__ import main
from lmac.io import files

SEED = 1


@pytest.fixture(autouse=True)
def logs_as_before():
    """What a part really runs logs to a folder that is gone afterwards."""
    yield
    names = [None, *logging.root.manager.loggerDict]
    for logger in map(logging.getLogger, names):
        for handler in logger.handlers[:]:
            path = getattr(handler, "baseFilename", None)
            if path is not None and not Path(path).parent.is_dir():
                logger.removeHandler(handler)
                handler.close()


@pytest.mark.parametrize("name", soak.parts())
def test_a_few_of_each_part_survive(name):
    part = soak.parts()[name]
    assert part.WHAT and "\n" not in part.WHAT and "|" not in part.WHAT and part.COUNT > 0
    outcome = soak.run_part(part, getattr(part, "SHORT", soak.SHORT), SEED)
    assert outcome.failures == ()


def made_up(what, problems, fall=False):
    """A part whose trials have these problems."""

    def trials(count, seed, folder):
        assert not list(folder.iterdir())
        for k in range(count):
            if fall and k == len(problems):
                raise RuntimeError("the tool broke")
            yield f"trial {k}", problems[k] if k < len(problems) else None

    return SimpleNamespace(WHAT=what, COUNT=4, trials=trials)


def test_what_failed_is_counted_and_named(tmp_path):
    outcome = soak.run_part(made_up("kills", [None, "not\nequal"]), 4, SEED)
    assert (outcome.tried, outcome.survived) == (4, 3)
    text = soak.write_report(tmp_path, [outcome], {"kills": made_up("kills", [])})
    assert "| kills | 4 | 4 | 3 | 1 |" in text and "- kills: `trial 1`: not equal" in text
    assert text == (tmp_path / "soak.md").read_text(encoding="utf-8")
    row = (tmp_path / "soak.csv").read_text(encoding="utf-8").splitlines()[1]
    assert row.startswith("kills,4,3,1,")


def test_a_part_that_falls_or_stops_early_has_failed():
    fallen = soak.run_part(made_up("kills", [None], fall=True), 4, SEED)
    assert (fallen.tried, fallen.survived) == (2, 1)
    assert ("the part itself", "RuntimeError: the tool broke") in fallen.failures
    early = SimpleNamespace(WHAT="kills", trials=lambda *_: iter([("one", None)]))
    assert soak.run_part(early, 4, SEED).failures == (("the part itself", "made 1 of 4 trials"),)


def test_the_report_keeps_parts_that_were_not_run_and_forgets_those_that_are_gone(tmp_path):
    known = {what: made_up(what, []) for what in ("files", "kills")}
    failed, gone, fine = (
        soak.run_part(made_up(what, problems), 4, SEED)
        for what, problems in (("files", ["lost"]), ("gone", []), ("kills", []))
    )
    soak.write_report(tmp_path, [failed, gone], known | {"gone": made_up("gone", [])})
    text = soak.write_report(tmp_path, [fine], known)
    assert "| files | 4 | 4 | 3 |" in text and "`trial 0`: lost" in text and "gone" not in text
    assert list(soak.read_outcomes(tmp_path)) == ["files", "kills"]
    again = soak.run_part(made_up("files", []), 4, SEED)
    assert soak.write_report(tmp_path, [again], known).endswith("## Failures\n\nNone.\n")


def test_the_command(tmp_path, monkeypatch, capsys):
    known = {"files": made_up("files", []), "kills": made_up("kills", ["lost"])}
    monkeypatch.setattr("benchmarks.soak.__main__.parts", lambda: known)
    main(["--parts=[files]", "--share=0.5", f"--output_folder={tmp_path}"])
    assert "| files | 4 | 2 | 2 | 1234 |" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main([f"--output_folder={tmp_path}"])
    assert end.value.code == 1 and set(soak.read_outcomes(tmp_path)) == {"files", "kills"}
    with pytest.raises(ValueError, match="no part 'file'; the parts are files, kills"):
        main(["--parts=[file]"])
    with pytest.raises(ValueError, match="--share=2: expected more than 0"):
        main(["--share=2"])


def failures(name, count=30):
    return soak.run_part(soak.parts()[name], count, SEED).failures


def test_a_writer_that_asks_nobody_is_seen(monkeypatch):
    def reckless(place, source):
        (place / "index.html").unlink(missing_ok=True)
        (place / "index.html").write_text("ours")

    part = soak.parts()["foreign_files"]
    monkeypatch.setattr(part, "WRITERS", {"a page": (reckless, ["index.html"])})
    assert any("changed" in problem for _, problem in failures("foreign_files"))


def test_weights_that_are_taken_whatever_they_are_are_seen(monkeypatch):
    part = soak.parts()["weights"]
    monkeypatch.setattr(part, "load_weights", lambda module, path, what: module)
    problems = {problem for _, problem in failures("weights")}
    assert problems == {"was taken", "other weights"}


def test_a_reader_that_falls_over_a_yaml_is_seen(monkeypatch):
    def falls(path, overrides):
        return {"number_of_epochs": len(path.read_text(encoding="utf-8"))}

    monkeypatch.setattr(soak.parts()["yaml_files"], "settings", falls)
    problems = [problem for _, problem in failures("yaml_files")]
    assert any(p.startswith("read as") for p in problems)
    assert any("codec can't decode" in p for p in problems)


def test_a_lock_that_holds_nobody_is_seen(monkeypatch):
    monkeypatch.setattr(soak.parts()["two_at_once"], "claim", lambda folder: True)
    assert {problem for _, problem in failures("two_at_once", 5)} == {"two were let in"}


def test_an_explainer_that_lets_tracebacks_through_is_seen(monkeypatch):
    part = soak.parts()["networks"]
    monkeypatch.setattr(part.lmac, "Explainer", lambda *args, **kwargs: [][0])
    assert "IndexError: list index out of range" in {p for _, p in failures("networks", 3)}


def test_a_writer_that_leaves_half_a_file_is_seen(monkeypatch):
    def careless(place, source):
        (place / "index.html").unlink(missing_ok=True)
        files.os.fsync(1)
        (place / "index.html").write_text("ours")

    part = soak.parts()["full_disk"]
    monkeypatch.setattr(part, "WRITERS", {"a page": (careless, [])})
    assert any("lost" in problem or "OSError" in problem for _, problem in failures("full_disk"))
