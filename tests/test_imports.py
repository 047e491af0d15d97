"""Who may import whom: arrows run down, at the top and inside lmac, and never in a circle."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# From the ground up; what shares a line may not import one another. Inside lmac a room is a folder
# or a file. ``data_prep``, ``metrics`` and ``interpreters`` stand between them.
FLOORS = [
    {"lmac.io", "metrics"},
    {"data_prep"},
    {"lmac.settings"},
    {"lmac.core"},
    {"lmac.classifiers"},
    {"lmac.checkpoints"},
    {"lmac.transfer"},
    {"interpreters"},
    {"lmac.training"},
    {"lmac.explain"},
    {"lmac.evaluation"},
    {"lmac.pages"},
    {"train_classifier", "train_lmac", "eval_explanations", "explain"},
    {"lmac.__main__"},
    {"benchmarks"},
]
LOOSE = {"__init__", "__main__", "checkpoints", "transfer"}


def imports(path):
    """Names of modules that a file imports anywhere, as (module, line)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module, node.lineno
            # from lmac import losses
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def arrows(files, name_of, floors):
    """(from, to, where) of every import between two rooms of ``floors``."""
    rooms = set().union(*floors)
    for path in files:
        source = name_of(path.relative_to(ROOT).with_suffix("").parts)
        for module, line in imports(path):
            target = name_of(tuple(module.split(".")))
            if target in rooms and target != source:
                yield source, target, f"{path.relative_to(ROOT)}, line {line}"


def room_of(parts):
    return ".".join(parts[:2]) if parts[0] == "lmac" else parts[0]


CODE = [p for d in ("metrics", "data_prep", "lmac", "interpreters", "benchmarks")
        for p in sorted((ROOT / d).rglob("*.py"))] + sorted(ROOT.glob("*.py"))  # fmt: skip


def test_no_arrow_runs_up():
    level = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
    found = list(arrows(CODE, room_of, FLOORS))
    assert len(found) > 100  # the imports were found at all
    for source, target, where in found:
        if source != "lmac.__init__":
            assert level[target] < level[source], f"{where}: {source} imports {target}"


def test_every_room_has_a_floor():
    rooms = {room_of(p.relative_to(ROOT).with_suffix("").parts) for p in CODE}
    assert rooms - {"lmac.__init__"} == set().union(*FLOORS)
    loose = {p.stem for p in (ROOT / "lmac").glob("*.py")}
    assert loose == LOOSE and len(loose) <= 6
