"""Masks that a person paints on a spectrogram: strokes in seconds and hertz, made a mask.

A painting is plain values, as the page sends and saves it::

    {"start": "nothing" | "everything" | {"method": "L-MAC", "asked": null},
     "strokes": [{"shape": "rectangle", "keep": true, "from": [s, unit], "to": [s, unit]},
                 {"shape": "brush", "keep": false, "radius": [s, unit], "points": [[s, unit], …]}]}

The unit is that of the frequency axis (Hz, or mel bands). Later strokes lie over earlier ones.
"""

import math

MOST_STROKES, MOST_POINTS = 500, 20_000


def rasterised(painting, start, seconds_per_frame, units_per_bin):
    """The mask [T, F] of a painting.

    Arguments
    ---------
    painting : dict
        See above; ValueError, in one sentence, for anything else.
    start : Tensor [T, F]
        The mask that is painted over; it is left as it is.
    seconds_per_frame, units_per_bin : float
        Cell (t, f) lies at ``(t seconds_per_frame, f units_per_bin)``, and belongs to a stroke that
        covers this point.
    """
    mask, left = start.clone(), MOST_POINTS
    strokes = painting.get("strokes") if isinstance(painting, dict) else None
    if not isinstance(strokes, list) or len(strokes) > MOST_STROKES:
        raise ValueError(f"strokes: expected a list of at most {MOST_STROKES}.")
    n_frames, n_bins = mask.shape
    scale = (1 / seconds_per_frame, 1 / units_per_bin)
    for stroke in strokes:
        shape = stroke.get("shape") if isinstance(stroke, dict) else None
        if shape not in ("rectangle", "brush") or not isinstance(stroke.get("keep"), bool):
            raise ValueError("strokes: expected a rectangle or a brush, to keep or to remove.")
        value = float(stroke["keep"])
        if shape == "rectangle":
            corners = [_point(stroke.get(end), scale) for end in ("from", "to")]
            (t0, t1), (f0, f1) = (sorted(ends) for ends in zip(*corners, strict=True))
            mask[_cells(t0, t1, n_frames), _cells(f0, f1, n_bins)] = value
            continue
        radius = _point(stroke.get("radius"), scale)
        points = stroke.get("points")
        if not isinstance(points, list) or not points or len(points) > left:
            raise ValueError(f"strokes: expected 1 to {MOST_POINTS} points of brushes in all.")
        left -= len(points)
        _brush(mask, [_point(point, scale) for point in points], radius, value)
    return mask


def _point(value, scale):
    """[seconds, unit] as (frame, bin), both floats; ValueError for anything else."""
    numbers = value if isinstance(value, list) and len(value) == 2 else [None]
    if not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
        raise ValueError("strokes: expected points of two numbers, seconds and frequency.")
    return tuple(max(-1e7, min(1e7, n * s)) for n, s in zip(numbers, scale, strict=True))


def _cells(low, high, n):
    """Slice of the cells from ``low`` to ``high``, both included."""
    return slice(min(n, max(0, math.ceil(low))), max(0, min(n, math.floor(high) + 1)))


def _brush(mask, points, radius, value):
    """Set to ``value`` what lies within an ellipse that is drawn along ``points``."""
    import torch

    rt, rf = (max(0.5, abs(r)) for r in radius)
    for (t0, f0), (t1, f1) in zip(points, points[1:] or points[:1], strict=False):
        rows = _cells(min(t0, t1) - rt, max(t0, t1) + rt, mask.shape[0])
        columns = _cells(min(f0, f1) - rf, max(f0, f1) + rf, mask.shape[1])
        # In radii, where the ellipse is a circle: the distance to the segment is at most 1.
        t = (torch.arange(mask.shape[0])[rows, None] - t0) / rt
        f = (torch.arange(mask.shape[1])[None, columns] - f0) / rf
        dt, df = (t1 - t0) / rt, (f1 - f0) / rf
        along = ((t * dt + f * df) / max(dt * dt + df * df, 1e-12)).clamp(0, 1)
        inside = (t - along * dt) ** 2 + (f - along * df) ** 2 <= 1
        mask[rows, columns][inside] = value
