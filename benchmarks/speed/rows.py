"""The rows of speed.csv: one piece of work, ours against something else, as a ratio."""

import importlib.util
import tempfile
from pathlib import Path

import torch
from captum.attr import GradientShap, IntegratedGradients, NoiseTunnel, Saliency

from benchmarks.speed.memory import peak
from benchmarks.speed.ours import Ours, plain
from benchmarks.speed.published import Published
from benchmarks.speed.table import SAMPLING, Table
from interpreters.base import Logits, parts
from interpreters.integrated_gradients import IntegratedGradients as OurIntegratedGradients
from interpreters.shap import SHAP
from interpreters.smoothgrad import SmoothGrad
from lmac.explain import figures

PUBLISHED, CAPTUM = "published design", "Captum's loop"
PLAIN, ANEW = "Captum's loops, asked anew for each metric", "all drawn anew"
PASSES, FUSED = "unavoidable passes", "unavoidable passes, fused"
# Of these the ratio is theirs over ours (how many times as fast), of passes ours over theirs.
FASTER = (PUBLISHED, CAPTUM, PLAIN, ANEW)
COLUMNS = ["work", "width", "batch_size", "against", "ratio", "ours_s", "theirs_s", "device"]
# Clips of a batch, by width; and the interpreters' samples.
BATCHES = {16: 16, 64: 4}
SAMPLES = 20
TABLE_CLIPS = 2


def row(args, work, width, batch_size, against, ours, theirs):
    """A row; seconds of one call of each."""
    ratio = theirs / ours if against in FASTER else ours / theirs
    values = (work, width, batch_size, against, round(ratio, 3), ours, theirs, args.device)
    return dict(zip(COLUMNS, values, strict=True))


def cnn14(width):
    """The rows of CNN14 of one width: everything against the published design and the passes."""

    def group(args, clock):
        batch_size = BATCHES[width]
        ours = Ours(batch_size, args.seconds, args.device, width)
        published = Published(ours)
        times = clock.medians(
            {
                "decode": ours.decode,
                "decode, published": lambda: published.decode(ours),
                "step": ours.step,
                "step, whole": ours.whole_step,
                "step, published": published.step,
                "step, plain": plain(ours, ours.passes_of_a_step),
                "step, fused": ours.passes_of_a_step,
                "explain": ours.explain,
                "explain, published": published.explain,
                "pass, plain": plain(ours, ours.one_pass),
                "pass, fused": ours.one_pass,
                "evaluate": ours.evaluate,
                "evaluate, published": published.evaluate,
            },
            args.turns,
        )

        def against(work, ours, whom, theirs, times_=1):
            pair = (times_ * times[ours], times_ * times[theirs])
            return row(args, work, width, batch_size, whom, *pair)

        step, explanation = "training step", "explanation"
        return [
            against("decoder forward", "decode", PUBLISHED, "decode, published"),
            against(step, "step", PUBLISHED, "step, published"),
            against(f"{step}, masked out of all", "step, whole", PUBLISHED, "step, published"),
            against(step, "step", PASSES, "step, plain"),
            against(step, "step", FUSED, "step, fused"),
            against(explanation, "explain", PUBLISHED, "explain, published"),
            against(explanation, "explain", PASSES, "pass, plain"),
            against(explanation, "explain", FUSED, "pass, fused"),
            against(
                "explanation with all metrics, 100 clips",
                *("evaluate", PUBLISHED, "evaluate, published"),
                100 / batch_size,
            ),
        ]

    return group


def passes(width, batch_size, name=None):
    """Step and explanation against the passes, for another classifier or batch."""

    def group(args, clock):
        ours = Ours(batch_size, args.seconds, args.device, width)
        # Not all in turn: what comes after a step finds other things in the caches.
        steps = {"step": ours.step, "step, plain": plain(ours, ours.passes_of_a_step)}
        short = {"explain": ours.explain, "pass, plain": plain(ours, ours.one_pass)}
        times = clock.medians(steps, args.turns) | clock.medians(short, args.turns)
        of = (name or width, batch_size, PASSES)
        return [
            row(args, "training step", *of, times["step"], times["step, plain"]),
            row(args, "explanation", *of, times["explain"], times["pass, plain"]),
        ]

    return group


def aisfx(args, clock):
    """aisfx, where its package is."""
    if importlib.util.find_spec("aisfx") is None:
        print("    left out: the package aisfx is not installed")
        return []
    return passes(None, 4, "aisfx")(args, clock)


def captum(args, clock):
    """Sampling methods on one clip, against Captum's loop over its samples."""
    ours = Ours(1, args.seconds, args.device, 16)
    explained, X, target, phase = ours.explained, ours.X, ours.target, ours.phase
    logits, more = Logits(explained), parts(phase if explained.domain.needs_phase else None)
    scale = 0.15 * (X.amax() - X.amin())
    given = {"target": target, "additional_forward_args": more}

    def smoothgrad():
        tunnel = NoiseTunnel(Saliency(lambda Z: logits(Z.clamp_min(0), *more)))
        return tunnel.attribute(
            X.clone().requires_grad_(), nt_samples=SAMPLES, nt_samples_batch_size=1,
            stdevs=float(scale), target=target, abs=False,
        )  # fmt: skip

    def integrated():
        return IntegratedGradients(logits).attribute(
            X, n_steps=SAMPLES, internal_batch_size=1, **given
        )

    def shap():
        method = GradientShap(logits)
        for _ in range(SAMPLES):
            method.attribute(
                X.clone().requires_grad_(), baselines=torch.zeros_like(X), n_samples=1, **given
            )

    pairs = {
        "SmoothGrad": (SmoothGrad(explained, SAMPLES), smoothgrad),
        "IG": (OurIntegratedGradients(explained, SAMPLES), integrated),
        "SHAP": (SHAP(explained, SAMPLES), shap),
    }
    found = []
    for method, (interpreter, theirs) in pairs.items():
        times = clock.medians(
            {"ours": lambda m=interpreter: m.explain(X, target), "theirs": theirs}, args.turns
        )
        work = f"{method}, {SAMPLES} samples"
        found.append(row(args, work, 16, 1, CAPTUM, times["ours"], times["theirs"]))
    return found


def table(args, clock):
    """All methods of a table with all metrics, and those without the sampling methods."""
    ours = Ours(TABLE_CLIPS, args.seconds, args.device, 16)
    whole = Table(ours)
    names = list(whole.interpreters)
    few = [m for m in names if m not in SAMPLING]
    times = clock.medians(
        {
            "all": lambda: whole.evaluate(names),
            "all, plain": plain(ours, lambda: whole.evaluate_plainly(names)),
            "few": lambda: whole.evaluate(few),
            "few, plain": plain(ours, lambda: whole.evaluate_plainly(few)),
        },
        args.turns,
    )
    work = f"evaluation of a full table, {len(names)} methods"
    fewer = f"the same without sampling methods, {len(few)} methods"
    return [
        row(args, name, 16, TABLE_CLIPS, PLAIN, times[key], times[f"{key}, plain"])
        for name, key in ((work, "all"), (fewer, "few"))
    ]


def pictures(args, clock):
    """The figure of an explanation, against all of it drawn anew, and against a pass."""
    ours = Ours(1, args.seconds, args.device, 16)
    X, mask = ours.X[0].cpu(), ours.explain()[0].cpu()
    with tempfile.TemporaryDirectory() as folder:

        def draw():
            figures.explanation_figure(X, mask, ours.domain, "a\nb", Path(folder) / "a.png")

        def draw_anew():
            figures.forget_frames()
            draw()

        times = clock.medians(
            {"anew": draw_anew, "drawn": draw, "pass": plain(ours, ours.one_pass)}, args.turns
        )
    work = "figure of an explanation"
    return [
        row(args, work, 16, 1, ANEW, times["drawn"], times["anew"]),
        row(args, work, 16, 1, PASSES, times["drawn"], times["pass"]),
    ]


def memory(args, clock):
    """Peak memory of a training step at width 64, each in a process of its own."""
    given = 64, BATCHES[64], args.seconds, 10, args.device
    ours, theirs = (peak(who, *given) for who in ("ours", "published"))
    work = "peak memory of training (GB, not s)"
    return [row(args, work, 64, BATCHES[64], PUBLISHED, ours, theirs)]


GROUPS = {
    "CNN14 of width 16": cnn14(16),
    "CNN14 of width 64": cnn14(64),
    "one clip at a time, width 16": passes(16, 1),
    "one clip at a time, width 64": passes(64, 1),
    "four clips at a time, width 16": passes(16, 4),
    "aisfx": aisfx,
    "Captum": captum,
    "full table": table,
    "figures": pictures,
    "memory": memory,
}
