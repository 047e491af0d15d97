"""How fast is it, how near to what cannot be avoided, and how does it grow?

    python -m benchmarks                      # everything; on a GPU with --device=cuda
    python -m benchmarks --only=width 16      # rows of one kind

Times our training step, explanation and evaluation against the published design, Captum's own
loops and the passes of the classifier that nobody can avoid. Random weights and noise: only time
counts, and no data is needed. Both sides take turns in one process, and what is quoted is the
ratio of their medians. Writes speed.csv, growth.csv, speed.md and speed.png to
benchmarks/results. ``benchmarks.decoders``, ``.loading`` and ``.soak`` are commands of their own.
"""

import argparse
from pathlib import Path

from benchmarks.speed import clocks, growth, report, rows


def parse(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=3, help="of which medians are taken")
    parser.add_argument("--only", default="", help="groups of rows whose name has this in it")
    parser.add_argument(
        "--clock",
        choices=clocks.CLOCKS,
        default="wall",
        help="processor: seconds of the CPU, for a machine that others use, too",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of a clip")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args(argv)


def main(argv=None):
    args = parse(argv)
    clock = clocks.Clock(args.clock, args.device)
    found, grown = [], []
    for name, group in (rows.GROUPS | growth.GROUPS).items():
        if args.only in name:
            print(f"{name} ...", flush=True)
            (grown if name in growth.GROUPS else found).extend(group(args, clock))
            for path in report.write(found, grown, args, args.output):
                print(f"    {path}", flush=True)


if __name__ == "__main__":
    main()
