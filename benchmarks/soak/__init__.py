"""Soak: the faults of real use, tried in large numbers, and what survived them.

Every file of this package whose name does not begin with "_" is a part. It has::

    WHAT = "what is tried, in one line"
    COUNT = 500  # trials of the full run
    SHORT = 3    # optional: those of the tests

    def trials(count, seed, folder):  # folder: an empty one, for whatever it writes
        yield "what was tried", None  # it survived
        yield "what else was tried", "what went wrong"
"""

import csv
import importlib
import pkgutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from lmac.io.files import write_text
from lmac.io.provenance import commit

SHORT = 3


@dataclass(frozen=True)
class Outcome:
    """What became of a part: numbers of trials, and (label, problem) of each that failed."""

    what: str
    tried: int
    survived: int
    seed: int
    commit: str
    failures: tuple = ()


def parts():
    """Name to module of every part, in the order of their names."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


def run_part(part, count, seed):
    """Try ``count`` trials of the module ``part``, with a progress bar; returns an Outcome.

    A part that falls itself, or makes other than ``count`` trials, has failed: what was not
    tried cannot have survived.
    """
    tried, failures = 0, []
    ran = commit()  # at the start: the code that is tried is loaded
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        bar = tqdm(total=count, desc=part.WHAT, unit="trial")
        try:
            for label, problem in part.trials(count, seed, Path(folder)):
                tried += 1
                if problem is not None:
                    failures.append((label, problem))
                    bar.set_postfix(failed=len(failures))
                bar.update()
        except Exception as error:  # whatever it is, the other parts are still run
            tried += 1
            failures.append(("the part itself", f"{type(error).__name__}: {error}"))
        bar.close()
    survived = tried - len(failures)
    if tried != count:
        failures.append(("the part itself", f"made {tried} of {count} trials"))
    return Outcome(part.WHAT, tried, survived, seed, ran, tuple(failures))


def read_outcomes(folder):
    """WHAT to Outcome of the parts that are reported in ``folder``."""
    found = {}
    rows, failures = (_read(Path(folder, name)) for name in ("soak.csv", "soak_failures.csv"))
    for row in rows:
        kept = tuple((f["label"], f["problem"]) for f in failures if f["what"] == row["what"])
        numbers = {key: int(row[key]) for key in ("tried", "survived", "seed")}
        found[row["what"]] = Outcome(**{**row, **numbers}, failures=kept)
    return found


def _read(path):
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_report(folder, outcomes, known):
    """Write ``outcomes`` to soak.csv, soak_failures.csv and soak.md of ``folder``.

    Arguments
    ---------
    folder : path
    outcomes : list of Outcome
        Of this run. The report keeps its earlier outcomes of other parts.
    known : dict
        Parts by name; what is reported of none of them is left out.

    Returns the text of soak.md.
    """
    found = read_outcomes(folder) | {outcome.what: outcome for outcome in outcomes}
    kept = [found[part.WHAT] for part in known.values() if part.WHAT in found]
    kept = [replace(o, failures=tuple(_plain(f) for f in o.failures)) for o in kept]
    fields = ("what", "tried", "survived", "seed", "commit")
    _write(Path(folder, "soak.csv"), fields, [[getattr(o, f) for f in fields] for o in kept])
    _write(Path(folder, "soak_failures.csv"), ("what", "label", "problem"),
           [[o.what, *failure] for o in kept for failure in o.failures])  # fmt: skip
    text = report(kept, {part.WHAT: part.COUNT for part in known.values()})
    write_text(text, Path(folder, "soak.md"))
    return text


def _plain(failure):
    """One line each, so that a name with an end of line stays readable."""
    return tuple(" ".join(str(word).split()) for word in failure)


def _write(path, fields, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(fields)
        writer.writerows(rows)


def report(outcomes, counts):
    """The outcomes as Markdown; ``counts``: WHAT to the trials of a full run."""
    lines = [
        "# Faults tried, and what survived them",
        "",
        "Made by `make soak`; `python -m benchmarks.soak --parts=[…] --share=0.1` runs some parts,",
        "or a share of each. A part is a file of benchmarks/soak/, which says what counts as",
        "survived. `make test` tries a few of each.",
        "",
        "| tried | full run | tried | survived | seed | commit |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    lines += [f"| {o.what} | {counts[o.what]} | {o.tried} | {o.survived} | {o.seed} | {o.commit} |"
              for o in outcomes]  # fmt: skip
    lines += ["", "## Failures", ""]
    failures = [(o.what, *failure) for o in outcomes for failure in o.failures]
    lines += [f"- {what}: `{label}`: {problem}" for what, label, problem in failures]
    return "\n".join(lines + ["None."] * (not failures)) + "\n"
