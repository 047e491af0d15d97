"""How time and memory grow with the length of clips, their number in a batch, and the classes."""

from benchmarks.speed.memory import peak
from benchmarks.speed.ours import Ours

COLUMNS = ["what", "seconds", "batch_size", "classes", "step_s", "explanation_s", "peak_GB"]
LENGTHS = (1, 2, 5, 10, 20, 30, 60)
CLASSES = (10, 100, 527, 1000)
SIZES = (1, 2, 4, 8, 16)
WIDTH = 16


def _measured(args, clock, what, seconds, batch_size=2, n_classes=10, with_memory=False):
    ours = Ours(batch_size, seconds, args.device, WIDTH, n_classes)
    times = clock.medians({"step": ours.step, "explain": ours.explain}, args.turns)
    used = None
    if with_memory:
        used = peak("ours", WIDTH, batch_size, args, seconds, n_classes)
    values = (what, seconds, batch_size, n_classes, times["step"], times["explain"], used)
    return dict(zip(COLUMNS, values, strict=True))


def lengths(args, clock):
    return [_measured(args, clock, "length", s, with_memory=s in (1, 5, 20, 60)) for s in LENGTHS]


def classes(args, clock):
    return [
        _measured(args, clock, "classes", args.seconds, n_classes=k, with_memory=k in (10, 1000))
        for k in CLASSES
    ]


def batches(args, clock):
    return [_measured(args, clock, "batch", args.seconds, batch_size=n) for n in SIZES]


GROUPS = {"growth: length": lengths, "growth: classes": classes, "growth: batch": batches}
