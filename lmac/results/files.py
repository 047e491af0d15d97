"""Names of the files of an evaluation that others than its owner need, at no cost."""

RANDOMISATION, RESYNTHESIS = "randomisation", "resynthesis"
# What may be published: no audio that we did not make, and no path of a machine.
PUBLISHED = (
    *("metrics.csv", "summary.csv", "scenario.csv", "evaluation.json", "table.md"),
    *(f"{check}.{kind}" for check in (RANDOMISATION, RESYNTHESIS) for kind in ("csv", "md")),
)
