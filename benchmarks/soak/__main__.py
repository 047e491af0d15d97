"""Try faults in large numbers and report what survived.

    python -m benchmarks.soak [--parts=[sounds,files]] [--share=0.1] [--seed=1234]

Writes soak.csv, soak_failures.csv and soak.md; what they hold of parts that are not run stays.
Ends with code 1 when anything failed.
"""

import sys

from benchmarks.soak import parts, run_part, write_report
from lmac.settings.cli import run
from lmac.settings.command_line import CommandLine, Option

COMMAND_LINE = CommandLine(
    Option("parts", list, None, "files of benchmarks/soak/; by default all"),
    Option("share", float, 1.0, "of the full number of trials, more than 0 and at most 1"),
    Option("seed", int, 1234, "of what is chosen at random"),
    Option("output_folder", str, "benchmarks/results", "where the report is written"),
)


def main(argv):
    options = COMMAND_LINE.parse(argv)
    known, share = parts(), options["share"]
    if not 0 < share <= 1:
        raise ValueError(f"--share={share:g}: expected more than 0 and at most 1.")
    wanted = options["parts"] or list(known)
    if unknown := set(wanted) - set(known):
        raise ValueError(f"There is no part {min(unknown)!r}; the parts are {', '.join(known)}.")
    outcomes = []
    for name in wanted:
        count = max(1, round(known[name].COUNT * share))
        outcomes.append(run_part(known[name], count, options["seed"]))
        # After each, so that what was found in hours is not lost with the next one.
        text = write_report(options["output_folder"], outcomes, known)
    print(text)
    if any(outcome.failures for outcome in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(f"{__doc__.strip()}\n\n{COMMAND_LINE.format_help()}")
    else:
        run(main, sys.argv[1:])
