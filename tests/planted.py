"""Evaluations made up for tests of what reads them: no audio, no classifier."""

import json

import numpy as np
import pandas as pd

from lmac.evaluation.folder import COLUMNS
from metrics import checks, paper_metrics

SOUND = ("Fid-In (audio)", "SI-SDR (dB)")


def plant(folder, scenario, domain, methods, clips=12, seed=0):
    """Write what an evaluation leaves; returns its rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for method in methods:
        for clip in range(clips):
            scores = dict(zip(paper_metrics(), rng.random(9), strict=True))
            sound = domain == "stft"
            others = {c: rng.random() if sound or c not in SOUND else None for c in checks()}
            rows.append(
                {
                    "scenario": scenario,
                    "domain": domain,
                    "method": method,
                    "ID": f"clip{clip}",
                    "target_id": f"target{clip // 2}",
                    "label": "dog",
                    "decision": "dog" if clip % 3 else "rain",
                    "correct": int(clip % 3 > 0),
                    "p": 0.1 + clip / 20,
                    "p_in": rng.random(),
                    "p_out": rng.random(),
                    **scores,
                    **others,
                    "s/clip": 0.125,
                }
            )
    table = pd.DataFrame(rows)[list(COLUMNS)]
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "metrics.csv", index=False)
    pd.DataFrame({"ID": [f"clip{i}" for i in range(clips)]}).to_csv(
        folder / "scenario.csv", index=False
    )
    note = {
        "setting": {"classifier": "abc", "manifest": "def"},
        "methods": {},
        "statement": {
            "title": "# ESC-10, scenario x, domain y",
            "data": "Data: twelve clips & 50 % noise.",
            "run": f"Run: {domain} on paper_1.",
        },
    }
    (folder / "evaluation.json").write_text(json.dumps(note))
    return table


def markdown_tables(text):
    """Every table of a Markdown text: dictionaries of method to list of cells, heads too."""
    tables = []
    for line in text.splitlines():
        if line.startswith("| method |"):
            tables.append({})
        if line.startswith("|") and "---" not in line:
            name, *cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            tables[-1][name] = cells
    return tables
