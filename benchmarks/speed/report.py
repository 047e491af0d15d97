"""What was measured, as CSV, Markdown and a figure."""

import pandas as pd
import torch

from benchmarks.speed import growth, rows
from lmac.explain.figures import plt
from lmac.io.files import write_text
from lmac.io.provenance import commit, hardware

# What is asked of a ratio, by work, width and against: of passes at most, of others at least.
GOALS = {
    ("decoder forward", 16, rows.PUBLISHED): 20,
    ("decoder forward", 64, rows.PUBLISHED): 200,
    ("training step", 16, rows.PUBLISHED): 6,
    ("training step", 64, rows.PUBLISHED): 11,
    ("training step", 16, rows.PASSES): 1.4,
    ("training step", 64, rows.PASSES): 1.07,
    ("explanation", 16, rows.PASSES): 1.5,
    ("explanation", 64, rows.PASSES): 1.03,
    ("explanation with all metrics, 100 clips", 16, rows.PUBLISHED): 10,
    ("explanation with all metrics, 100 clips", 64, rows.PUBLISHED): 10,
    ("peak memory of training (GB, not s)", 64, rows.PUBLISHED): 3,
}


def write(found, grown, args, folder):
    """Write what there is so far; the paths of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    speed = pd.DataFrame(found, columns=rows.COLUMNS)
    growing = pd.DataFrame(grown, columns=growth.COLUMNS)
    written = []
    for frame, name in ((speed, "speed.csv"), (growing, "growth.csv")):
        if len(frame):
            frame.to_csv(folder / name, index=False, float_format="%.4g")
            written.append(folder / name)
    write_text(markdown(speed, growing, args), folder / "speed.md")
    if len(growing):
        figure(growing, folder / "speed.png")
        written.append(folder / "speed.png")
    return [*written, folder / "speed.md"]


def markdown(speed, growing, args):
    """The text of speed.md."""
    threads = torch.get_num_threads()
    machine = hardware(args.device)
    if args.device == "cpu":
        machine += f", {threads} thread{'s' if threads > 1 else ''}"
    clock = "processor time" if args.clock == "processor" else "wall time"
    lines = [
        "# Speed",
        "",
        f"Clips of {args.seconds:g} s, domain stft, random weights and noise; medians of "
        f"{args.turns} turns in one process ({clock}); commit {commit()}, {machine}.",
        "",
        "Against the published design and Captum: how many times as fast ours is (more is better). "
        "Against passes: how many times as long as the passes of the classifier that it cannot do "
        "without (1 is the limit). *Unavoidable passes* run the classifier layer by layer, as "
        "PyTorch does; *fused* as ours does. Metrics are timed on one batch and multiplied.",
        "",
        "| work | CNN14 width | batch | against | ratio | ours | theirs | goal |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: | --- |",
    ]  # fmt: skip
    for r in speed.to_dict("records"):
        lines.append(
            f"| {r['work']} | {r['width']} | {r['batch_size']} | {r['against']} | "
            f"{r['ratio']:.3g} | {r['ours_s']:.3g} | {r['theirs_s']:.3g} | {_goal(r)} |"
        )
    if len(growing):
        lines += [
            "",
            f"## Growth (CNN14 width {growth.WIDTH})",
            "",
            "| | clip (s) | batch | classes | step (s) | explanation (s) | peak memory (GB) |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for r in growing.to_dict("records"):
            used = "" if pd.isna(r["peak_GB"]) else f"{r['peak_GB']:.2f}"
            lines.append(
                f"| {r['what']} | {r['seconds']:g} | {r['batch_size']} | {r['classes']} | "
                f"{r['step_s']:.3g} | {r['explanation_s']:.3g} | {used} |"
            )
    return "\n".join(lines) + "\n"


def _goal(r):
    """The goal of a row and whether it is met, in words."""
    goal = GOALS.get((r["work"], r["width"], r["against"]))
    if goal is None or r["batch_size"] != rows.BATCHES[r["width"]]:
        return ""
    faster = r["against"] in rows.FASTER
    met = r["ratio"] >= goal if faster else r["ratio"] <= goal
    return f"{'≥' if faster else '≤'} {goal:g}: {'met' if met else 'missed'}"


def figure(growing, path):
    """Seconds over length, batch and classes, as a PNG at ``path``."""
    kinds = {"length": "seconds", "batch": "batch_size", "classes": "classes"}
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    labels = {"seconds": "clip (s)", "batch_size": "clips in a batch", "classes": "classes"}
    for axis, (what, column) in zip(axes, kinds.items(), strict=True):
        own = growing[growing["what"] == what]
        for name, label in (("step_s", "training step"), ("explanation_s", "explanation")):
            axis.plot(own[column], own[name], marker="o", label=label)
        axis.set(xlabel=labels[column], ylabel="seconds", ylim=(0, None))
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)
