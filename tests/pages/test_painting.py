"""A painting becomes the mask that its strokes describe, cell by cell."""

import pytest
import torch

from lmac.pages.painting import MOST_POINTS, rasterised

STEP, UNIT = 0.01, 10.0  # seconds of a frame, hertz of a bin


def by_hand(strokes, start):
    """The same, a cell after the other."""
    mask = start.clone()
    for t in range(mask.shape[0]):
        for f in range(mask.shape[1]):
            for stroke in strokes:
                if covers(stroke, t * STEP, f * UNIT):
                    mask[t, f] = float(stroke["keep"])
    return mask


def covers(stroke, seconds, hertz):
    if stroke["shape"] == "rectangle":
        (s0, h0), (s1, h1) = stroke["from"], stroke["to"]
        inside = min(s0, s1) - 1e-9 <= seconds <= max(s0, s1) + 1e-9
        return inside and min(h0, h1) - 1e-9 <= hertz <= max(h0, h1) + 1e-9
    (rs, rh), points = stroke["radius"], stroke["points"]
    here = torch.tensor([seconds / rs, hertz / rh], dtype=torch.float64)
    ways = [torch.tensor([s / rs, h / rh], dtype=torch.float64) for s, h in points]
    for a, b in zip(ways, ways[1:] or ways[:1], strict=False):
        # The nearest of many points of the segment.
        share = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None]
        if ((a + share * (b - a) - here) ** 2).sum(1).min() <= 1:
            return True
    return False


STROKES = [
    {"shape": "rectangle", "keep": True, "from": [0.105, 95.0], "to": [0.305, 35.0]},
    {"shape": "brush", "keep": False, "radius": [0.0305, 20.5],
     "points": [[0.05, 50.0], [0.2, 82.0], [0.39, 20.0]]},
    {"shape": "brush", "keep": True, "radius": [0.021, 31.0], "points": [[0.0, 0.0]]},
]  # fmt: skip


@pytest.mark.parametrize("start", [0.0, 1.0, 0.3])
def test_strokes_lie_over_one_another_as_described(start):
    start = torch.full((40, 12), start)
    found = rasterised({"strokes": STROKES}, start, STEP, UNIT)
    assert torch.equal(found, by_hand(STROKES, start))
    assert 0 < (found == 1).sum() < found.numel() and (start == start[0, 0]).all()


def test_what_lies_outside_changes_nothing():
    start = torch.zeros(5, 4)
    far = [{"shape": "rectangle", "keep": True, "from": [-9.0, -9.0], "to": [-1.0, 1e9]},
           {"shape": "brush", "keep": True, "radius": [0.01, 10.0],
            "points": [[1e12, 5.0], [1e12, -1e12]]}]  # fmt: skip
    assert torch.equal(rasterised({"strokes": far}, start, STEP, UNIT), start)


@pytest.mark.parametrize(
    "painting,said",
    [
        ([], "strokes: expected a list"),
        ({"strokes": [{}] * 501}, "at most 500"),
        ({"strokes": [{"shape": "circle", "keep": True}]}, "a rectangle or a brush"),
        ({"strokes": [{"shape": "brush", "keep": 1}]}, "to keep or to remove"),
        ({"strokes": [{**STROKES[0], "from": [0.1, "x"]}]}, "two numbers"),
        ({"strokes": [{**STROKES[0], "to": [float("nan"), 1]}]}, "two numbers"),
        ({"strokes": [{**STROKES[1], "points": [[0, 0]] * (MOST_POINTS + 1)}]}, "points"),
        ({"strokes": [{**STROKES[1], "radius": [True, 1]}]}, "two numbers"),
    ],
)
def test_anything_else_is_one_sentence(painting, said):
    with pytest.raises(ValueError, match=said):
        rasterised(painting, torch.zeros(3, 3), STEP, UNIT)
