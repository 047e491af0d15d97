"""Scoring interpreters: a row per clip and method, written as it is computed."""

import csv
import io
import json
import logging
import os
import time
from pathlib import Path

import pandas as pd
import speechbrain as sb
import torch

from lmac.media.audio import write_wavs
from lmac.media.figures import explanation_figure
from metrics import METRICS, Outcome, compute
from metrics.distance import log_distance, si_sdr

logger = logging.getLogger(__name__)

# Not metrics of the paper: does the decision survive synthesis and a second analysis, and how
# near is the explanation to the target's own part of the clip, as a spectrum and as audio?
HEARD = "Fid-In (audio)"
TO_SOURCE = "distance to source"
SI_SDR = "SI-SDR (dB)"
CHECKS = (HEARD, TO_SOURCE, SI_SDR)
COLUMNS = (
    *("scenario", "domain", "method", "ID", "target_id", "label", "decision", "correct"),
    *("p", "p_in", "p_out", *METRICS, *CHECKS, "s/clip"),
)


def read_rows(path):
    """``metrics.csv`` as a DataFrame, without a last line that a kill cut short.

    Raises ValueError for a table that this version did not write.
    """
    text = Path(path).read_text(encoding="utf-8")
    # The default parser may miss the last digit, which would drift when rows are rewritten.
    table = pd.read_csv(
        io.StringIO(text[: text.rfind("\n") + 1]), keep_default_na=False, na_values=[""],
        float_precision="round_trip",
    )  # fmt: skip
    if list(table.columns) != list(COLUMNS):
        raise ValueError(
            f"{path} has other columns than this version writes: give another "
            "--output_folder, or delete the file."
        )
    return table


def in_order(table, methods):
    """Rows sorted by the order of ``methods``; those of other methods last, as they come."""
    order = {m: i for i, m in enumerate(methods)}
    return table.sort_values("method", key=lambda c: c.map(order).fillna(len(order)), kind="stable")


class Rows:
    """``metrics.csv``: rows that survive a kill, and what they were computed with.

    Arguments
    ---------
    folder : path
        Holds ``metrics.csv`` and ``evaluation.json``.
    setting : dict
        What all rows share (scenario, classifier, ...). ValueError when the folder has rows of
        another setting.
    methods : dict
        Method to description. Rows of a method whose description changed are dropped.
    """

    def __init__(self, folder, setting, methods):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.csv"
        self.note = folder / "evaluation.json"
        known = json.loads(self.note.read_text()) if self.note.exists() else None
        rows = self._read()
        outdated = not self.path.exists()
        if known and not rows.empty:
            changed = [k for k in setting if known["setting"].get(k) != setting[k]]
            if changed:
                raise ValueError(
                    f"{self.path} holds rows of another {', '.join(changed)} "
                    f"({known['setting'].get(changed[0])!r}, now {setting[changed[0]]!r}): "
                    "give another --output_folder, or delete the file."
                )
            stale = [m for m in methods if known["methods"].get(m, methods[m]) != methods[m]]
            if stale:
                logger.info("Computing again, for they changed: %s", ", ".join(stale))
                rows = rows[~rows["method"].isin(stale)]
                outdated = True
            methods = {**known["methods"], **methods}
        if outdated:
            self._rewrite(rows)
        self.note.write_text(json.dumps({"setting": setting, "methods": methods}, indent=2) + "\n")
        self.done = set(zip(rows["method"], rows["ID"], strict=True))

    def _read(self):
        if not self.path.exists():
            return pd.DataFrame(columns=list(COLUMNS))
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # a kill may have cut the last line short
        if whole != text:
            self.path.write_text(whole, encoding="utf-8")
        return read_rows(self.path)

    def _rewrite(self, rows):
        temporary = self.path.with_suffix(".tmp")
        rows.to_csv(temporary, index=False)
        os.replace(temporary, self.path)

    def missing(self, method, ids):
        """Whether ``method`` still lacks a row for one of ``ids``."""
        return any((method, i) not in self.done for i in ids)

    def append(self, rows):
        """Write dictionaries of one batch and method at once; known ones are left alone."""
        fresh = [r for r in rows if (r["method"], r["ID"]) not in self.done]
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerows(fresh)
            file.flush()
            os.fsync(file.fileno())
        self.done |= {(r["method"], r["ID"]) for r in fresh}

    def table(self, methods):
        """All rows as a DataFrame, the methods in the order of ``methods``."""
        return in_order(self._read(), methods)


class EvaluationBrain(sb.Brain):
    """Scores interpreters on batches with ``id, target, class, sig, clean``.

    Arguments
    ---------
    explained : ExplainedClassifier
    interpreters : dict
        Name to Interpreter.
    rows : Rows
    labels : list of str
        Class names.
    scenario : str
    listen_ids : set of str
        Clips whose audio and figures are written to ``samples_folder``.
    samples_folder : path
    seed : int
        Of methods with random numbers, which start anew with each batch.
    **kwargs
        Of ``speechbrain.Brain``.
    """

    def __init__(
        self, explained, interpreters, rows, labels, scenario, listen_ids, samples_folder, seed,
        **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.explained = explained.to(self.device)
        self.interpreters = interpreters
        self.rows = rows
        self.labels = labels
        self.scenario = scenario
        self.listen_ids = listen_ids
        self.samples_folder = Path(samples_folder)
        self.seed = seed

    def evaluate_batch(self, batch, stage):
        """Score every method that lacks rows of this batch; the loss is of no meaning (0)."""
        todo = [m for m in self.interpreters if self.rows.missing(m, batch.id)]
        if todo:
            wav = batch.sig.data.to(self.device)
            X, phase = self.explained.domain.analyse(wav)
            clean = batch.clean.data.to(self.device)
            clean_X, _ = self.explained.domain.analyse(clean)
            probs = self.explained.probabilities(X, phase)
            for method in todo:
                self._score(method, batch, wav, X, phase, probs, clean, clean_X)
        return torch.zeros(())

    def _score(self, method, batch, wav, X, phase, probs, clean, clean_X):
        interpreter = self.interpreters[method]
        target = probs.argmax(1)
        interpreter.reset(self.seed + self.step)
        start = time.perf_counter()
        more = {"phase": phase} if self.explained.domain.needs_phase else {}
        if interpreter.needs_clean:
            more["clean_X"] = clean_X
        mask = interpreter.explain(X, target, **more)
        seconds = (time.perf_counter() - start) / len(X)
        # Batches of the same size as for probs: a mask of ones must give the very same numbers.
        kept, removed = mask * X, (1 - mask) * X
        outcome = Outcome(
            probs,
            self.explained.probabilities(kept, phase),
            self.explained.probabilities(removed, phase),
            target,
            mask,
        )
        scores = compute(outcome)
        scores[TO_SOURCE] = log_distance(kept, clean_X)
        domain = self.explained.domain
        if domain.listenable:
            audio = domain.synthesise(kept, phase)
            heard = self.explained.probabilities(*domain.analyse(audio)).argmax(1)
            scores[HEARD] = (heard == target).double()
            scores[SI_SDR] = si_sdr(audio, clean)
        truth = batch["class"].to(self.device)
        for i, ID in enumerate(batch.id):
            if ID in self.listen_ids:
                title = (
                    f"{ID}: {method}, decision {self.labels[target[i]]!r} (truth "
                    f"{self.labels[truth[i]]!r})\np = {outcome.p[i]:.3f}, "
                    f"p_in = {outcome.p_in[i]:.3f}, p_out = {outcome.p_out[i]:.3f}"
                )
                self._write_sample(ID, method, wav[i], X[i], mask[i], phase[i : i + 1], title)
        self.rows.append(
            {
                "scenario": self.scenario,
                "domain": domain.name,
                "method": method,
                "ID": ID,
                "target_id": batch.target[i],
                "label": self.labels[truth[i]],
                "decision": self.labels[target[i]],
                "correct": int(target[i] == truth[i]),
                # Enough digits for float64: near 1 they tell an increase from a tie.
                "p": repr(float(outcome.p[i])),
                "p_in": repr(float(outcome.p_in[i])),
                "p_out": repr(float(outcome.p_out[i])),
                **{k: "" if v[i].isnan() else repr(float(v[i])) for k, v in scores.items()},
                "s/clip": f"{seconds:.4g}",
            }
            for i, ID in enumerate(batch.id)
        )

    def _write_sample(self, ID, method, wav, X, mask, phase, title):
        domain = self.explained.domain
        folder = self.samples_folder / ID / method
        folder.mkdir(parents=True, exist_ok=True)
        if domain.listenable:
            parts = {"explanation": mask * X, "removed": (1 - mask) * X}
            waves = {name: domain.synthesise(part[None], phase)[0] for name, part in parts.items()}
            write_wavs({"input": wav, **waves}, folder, domain.front_end.sample_rate)
        explanation_figure(X.cpu(), mask.cpu(), domain, title, folder / "explanation.png")
