"""Who may import whom: arrows run down, at the top and inside lmac, and never in a circle."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the ground up; what shares a line may not import one another.
FLOORS = [
    {"metrics"},
    {"data_prep"},
    {"lmac"},
    {"interpreters"},
    {"train_classifier", "train_lmac", "eval_explanations", "explain"},
    {"benchmarks"},
]
INSIDE = [
    {"banded", "claims", "prompts", "fused", "phase"},
    {
        "front_end",
        "weights",
        "losses",
        "asking",
        "augment",
        "schedules",
        "windows",
        "decoder",
    }
    | {"explained", "composition", "provenance", "command_line", "media", "processes", "settings"}
    | {"random_state"},
    {"domain", "config"},
    {"classifiers", "usage", "settings_page"},
    {"commands"},
    {"checkpoints", "check_dataset", "__main__"},
    {"brains", "others"},
    {"results"},
    {"listen", "rehearsal"},
    {"study"},
]


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


def at_the_top(parts):
    return parts[0]


def inside_lmac(parts):
    return parts[1] if parts[0] == "lmac" and len(parts) > 1 else None


CODE = [p for d in ("metrics", "data_prep", "lmac", "interpreters", "benchmarks")
        for p in sorted((ROOT / d).rglob("*.py"))] + sorted(ROOT.glob("*.py"))  # fmt: skip


@pytest.mark.parametrize("floors,name_of", [(FLOORS, at_the_top), (INSIDE, inside_lmac)])
def test_no_arrow_runs_up(floors, name_of):
    level = {room: i for i, rooms in enumerate(floors) for room in rooms}
    files = CODE if name_of is at_the_top else [p for p in CODE if p.is_relative_to(ROOT / "lmac")]
    found = list(arrows(files, name_of, floors))
    assert len(found) > 20  # the imports were found at all
    for source, target, where in found:
        if name_of is inside_lmac and source == "__init__":
            continue
        assert source in level, f"{where}: give {source} a floor"
        assert level[target] < level[source], f"{where}: {source} imports {target}"


def test_metrics_know_nothing_of_ours():
    for path in (ROOT / "metrics").rglob("*.py"):
        for module, line in imports(path):
            first = module.split(".")[0]
            assert first not in ("data_prep", "lmac", "interpreters"), f"{path}, line {line}"


def test_every_room_of_lmac_has_a_floor():
    rooms = {
        p.stem
        for p in (ROOT / "lmac").iterdir()
        if p.suffix in ("", ".py") and (p.name[0] not in "_." or p.stem == "__main__")
    }
    assert rooms == set().union(*INSIDE)
