"""What of results may be published: names of files, and what is kept of a training's record.

Of its own, so that copying results need not wait for what computes them.
"""

import os
from pathlib import Path

PROVENANCE, SUMMARY, TABLE = "provenance.json", "summary.csv", "table.md"
RANDOMISATION, RESYNTHESIS = "randomisation", "resynthesis"
ASKED, ASKED_CLIPS, HELD_OUT = "asked", "asked_clips", "held_out"
AUDIT, AUDIT_CLIPS = "audit", "audit_clips"
PLANTED, CONTROLS = "planted_cues", "controls.csv"
CHECKS = (RANDOMISATION, RESYNTHESIS, ASKED, HELD_OUT, AUDIT)
# Rows, of which the rest is made: published compressed, as pandas reads them.
ROWS = ("metrics.csv", f"{ASKED_CLIPS}.csv", f"{AUDIT_CLIPS}.csv", f"{RANDOMISATION}.csv",
        f"{RESYNTHESIS}.csv", f"{PLANTED}_clips.csv")  # fmt: skip
# What may be published: no audio that we did not make, and no path of a machine.
PUBLISHED = (
    *(SUMMARY, "scenario.csv", "evaluation.json", TABLE, PROVENANCE, *ROWS),
    *(CONTROLS, f"{PLANTED}.png"),
    *(f"{check}.{kind}" for check in CHECKS for kind in ("csv", "md")),
)
# Only where figures are asked for.
PICTURES = (f"{ASKED}.png", f"{AUDIT}.png")


def public(info):
    """What training recorded, without the paths of a machine."""
    kept = {k: v for k, v in info.items() if k != "finetune_from"}
    if "augmentation" in info:
        noise = {k: v for k, v in info["augmentation"].items() if k != "noise_path"}
        kept["augmentation"] = noise
    return kept


def public_provenance(content):
    """The content of a ``provenance.json`` with the last two parts of a machine's paths."""
    runs = []
    for run in content["runs"]:
        overrides = {key: _last_parts(value) for key, value in run["overrides"].items()}
        runs.append({**run, "yaml": _last_parts(run["yaml"]), "overrides": overrides})
    return {"runs": runs}


def _last_parts(text):
    return "/".join(Path(text).parts[-2:]) if os.path.isabs(text) else text
