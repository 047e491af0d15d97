"""Evaluations made up for tests of what reads them: no audio, no classifier."""

import json

import numpy as np
import pandas as pd

from lmac.results.evaluation import COLUMNS, HEARD, SI_SDR, TO_SOURCE
from metrics import METRICS

CAPTION = """# ESC-10, scenario x, domain y

Data: twelve clips & 50 % noise.

Run: {domain} on paper_1.

**x, y**

| method |
"""


def plant(folder, scenario, domain, methods, clips=12, seed=0):
    """Write what an evaluation leaves; returns its rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for method in methods:
        for clip in range(clips):
            scores = dict(zip(METRICS, rng.random(len(METRICS)), strict=True))
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
                    TO_SOURCE: rng.random(),
                    HEARD: rng.random() if domain == "stft" else None,
                    SI_SDR: rng.normal() if domain == "stft" else None,
                    "s/clip": 0.125,
                }
            )
    table = pd.DataFrame(rows)[list(COLUMNS)]
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "metrics.csv", index=False)
    (folder / "table.md").write_text(CAPTION.format(domain=domain))
    pd.DataFrame({"ID": [f"clip{i}" for i in range(clips)]}).to_csv(
        folder / "scenario.csv", index=False
    )
    note = {"setting": {"classifier": "abc", "manifest": "def"}, "methods": {}}
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
