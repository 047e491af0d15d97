"""How time and memory grow with the length of clips, their number in a batch, and the classes."""

from benchmarks.speed.memory import peak
from benchmarks.speed.ours import Ours

COLUMNS = ["what", "seconds", "batch_size", "classes", "step_s", "explanation_s", "peak_GB"]
LENGTHS = (1, 5, 20, 60)
CLASSES = (10, 527, 1000)
SIZES = (1, 4, 16)
WIDTH = 16


def _measured(args, clock, what, seconds, batch_size=1, n_classes=10):
    """A row; its memory is that of a process that does nothing else."""
    ours = Ours(batch_size, seconds, args.device, WIDTH, n_classes)
    times = clock.medians({"step": ours.step, "explain": ours.explain}, args.turns)
    used = peak("ours", WIDTH, batch_size, seconds, n_classes, args.device)
    values = (what, seconds, batch_size, n_classes, times["step"], times["explain"], used)
    print("   ", *values, flush=True)
    return dict(zip(COLUMNS, values, strict=True))


def classes(args, clock):
    return [_measured(args, clock, "classes", args.seconds, n_classes=k) for k in CLASSES]


def lengths(args, clock):
    return [_measured(args, clock, "length", s) for s in LENGTHS]


def batches(args, clock):
    return [_measured(args, clock, "batch", args.seconds, batch_size=n) for n in SIZES]


GROUPS = {"growth: classes": classes, "growth: length": lengths, "growth: batch": batches}
