"""What every check beyond the metrics shares: a new one is a file with a name and a measure.

A check asks more of the clips and masks of an evaluation than its metrics do. It says what its
files are called, which columns its rows have, how to measure a batch, and what a report tells; the
folder and its lock, provenance, rows that are kept, batches and the command are here::

    class Loudness(MaskCheck):
        name = "loudness"
        columns = ("method", "ID", "target_id", "mean")

        def measure(self, interpreter, batch, variants):
            mask = self.mask(interpreter, batch, batch.clips.decision, self.seed)
            return {None: [{**self.who(row), "mean": float(m)} for row, m in zip(batch.rows, mask)]}

        def summary(self, rows): ...
        def report(self, summary, rows): ...

    main = Loudness.main
"""

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from tqdm import tqdm

from lmac.checkpoints import weights_digest
from lmac.core.scoring import Clips, analyse_clips, explain
from lmac.evaluation.checks.row_cache import RowCache
from lmac.evaluation.folder import EvaluationFolder, in_order
from lmac.evaluation.report import write_report
from lmac.evaluation.setup import EvaluationSetup
from lmac.io.lock import claim
from lmac.io.provenance import begin, complete, mark_own, require_own
from lmac.settings.load import load, parse, run_opts_of

logger = logging.getLogger(__name__)


class Check:
    """Writes ``<name>.csv``, ``<name>.md`` and, where it draws one, ``<name>.png``.

    Arguments
    ---------
    hparams : dict
        Of the check's YAML; ``output_folder`` is the evaluation's.
    setup : EvaluationSetup
        What is explained, on which clips. ``main`` makes it.
    """

    name = ""
    files = None  # names of its table and of its report, without ending; None: its name
    rows_name = None  # of the file of its rows; None: they are computed anew each time
    in_table = False  # whether table.md of the evaluation has columns of it

    def __init__(self, hparams, setup):
        self.hparams, self.setup = hparams, setup
        self.explained, self.seed = setup.explained, hparams["seed"]
        self.folder = EvaluationFolder(hparams["output_folder"])

    # What a check says

    def rows(self):
        """All rows as a DataFrame."""
        raise NotImplementedError

    def summary(self, rows):
        """What ``<name>.csv`` has; by default the rows."""
        return rows

    def report(self, summary, rows):
        """Markdown of ``<name>.md``."""
        raise NotImplementedError

    def figure(self, summary, rows, path):
        """Draw ``<name>.png``; by default nothing."""

    def about(self, n_clips):
        """Data, domain, classifier and seed, for a report."""
        h = self.hparams
        return (
            f"{h['dataset']}, {n_clips} of {self.folder.path.name}'s manifest, domain "
            f"{h['domain']}, classifier {h['classifier_name']}, seed {h['seed']}."
        )

    # The command

    @classmethod
    def main(cls, argv):
        """Run the check by its command line."""
        path, options, overrides = parse(argv)
        hparams, resolved = load(path, overrides)
        run_opts = run_opts_of(options)
        output = Path(hparams["output_folder"])
        require_own(output)
        claim(output)  # an evaluation or another check would write over its files
        mark_own(output)
        check = cls(hparams, EvaluationSetup(hparams, run_opts))
        begin(output, path, overrides, resolved, check=cls.name)
        print(check.run())
        manifest = Path(hparams.get("scenario_manifest") or output / "scenario.csv")
        complete(hparams, check.setup.device, manifest if manifest.is_file() else None)
        print(f"Table: {output / (cls.files or [cls.name])[0]}.csv")

    def run(self):
        """Compute what is missing and write everything; returns the report."""
        rows = self.rows()
        summary = self.summary(rows)
        text = self.report(summary, rows)
        table, report = self.files or (self.name, self.name)
        self.folder.write_check(table, summary, text, report)
        if self.in_table and self.folder.has_rows:
            info, device = self.setup.classifier_info, self.setup.device
            write_report(self.folder, self.hparams, info, device, fresh=False)
        self.figure(summary, rows, self.folder.path / f"{self.name}.png")
        return text


@dataclass(frozen=True)
class Batch:
    """Clips that are measured together.

    Attributes
    ----------
    number : int
        Of the batch.
    start : int
        The place of its first clip among those of the check.
    rows : list of dict
        Of the scenario.
    sig, clean : Tensor [B, L]
    clips : lmac.core.scoring.Clips
    """

    number: int
    start: int
    rows: list
    sig: torch.Tensor
    clean: torch.Tensor
    clips: Clips


class MaskCheck(Check):
    """A check of masks: rows are computed by method, batch by batch, and kept.

    Rows are kept by what they were computed with: method, classifier, seed, clips, precision. A
    method or variant that is added later is the only one computed.
    """

    columns = ()  # of a row; with "method", and ``variant`` where there is one
    variant = None  # the column that tells variants of a method's rows apart, such as "network"
    together = True  # whether all variants are measured on the same sounds, and so in one call
    no_more_than_there_are = False  # or more of them are all
    n_clips = None  # the setting that says how many clips, spread over all; null is all

    def __init__(self, hparams, setup):
        super().__init__(hparams, setup)
        if self.folder.has_rows:  # of the same clips, classifier and domain, or of no use
            self.folder.require_setting({k: v for k, v in setup.shared.items() if k != "precision"})
        self.rows_name = self.rows_name or f"{self.name}_clips"
        self.interpreters = dict(setup.interpreters)

    # What a check says

    @property
    def variants(self):
        """The values of ``variant``."""
        return (None,)

    def detail(self, variant):
        """What rows of a variant depend on, besides; begins with a comma."""
        return ""

    def measure(self, interpreter, batch, variants):
        """Rows of one method for a :class:`Batch`: dict of variant to list of dictionaries.

        It runs without gradients; :meth:`mask` has them.
        """
        raise NotImplementedError

    def scenario(self):
        """The clips there are, a row each."""
        return self.setup.scenario

    def dataset(self, variant):
        """The sounds of the scenario, in its order; of ``chosen`` where variants differ."""
        return self.setup.dataset

    # For measures

    def mask(self, interpreter, clips, target, seed):
        """The mask [B, T, F] of ``interpreter`` for ``target`` [B]."""
        with torch.enable_grad():
            return explain(self.explained, interpreter, clips, target, seed)

    @cached_property
    def chosen(self):
        """The rows of the scenario that are measured; their index is their place in it."""
        scenario = self.scenario().reset_index(drop=True)
        n = None if self.n_clips is None else self.hparams[self.n_clips]
        if n is None:
            return scenario
        if n < 1 or n > len(scenario) and self.no_more_than_there_are:
            raise ValueError(f"{self.n_clips} is {n}: expected 1 to {len(scenario)}.")
        n = min(n, len(scenario))
        return scenario.iloc[[round(i * len(scenario) / n) for i in range(n)]]

    def batches(self, variant=None):
        """Every :class:`Batch` of the clips, of the sounds of ``variant``."""
        pairs, size = self.chosen.to_dict("records"), self.hparams["batch_size"]
        dataset = self.dataset(variant)
        places = self.chosen.index if self.together else range(len(pairs))
        for number, start in enumerate(range(0, len(pairs), size)):
            items = [dataset[i] for i in places[start : start + size]]
            sig, clean = (
                torch.stack([item[key] for item in items]).to(self.setup.device)
                for key in ("sig", "clean")
            )
            clips = analyse_clips(self.explained, sig, clean)
            yield Batch(number, start, pairs[start : start + size], sig, clean, clips)

    # Rows that are kept

    @cached_property
    def _network(self):
        return f"classifier {weights_digest(self.explained.classifier)}, seed {self.seed}"

    @cached_property
    def _clips(self):
        """What tells these clips and this precision from others."""
        names = ("ID", "label", "contaminant_label", "absent")
        text = self.chosen[[n for n in names if n in self.chosen]].to_csv(index=False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        precision = getattr(self.setup.run_opts, "eval_precision", None) or "fp32"
        return f"clips {digest}" + ("" if precision == "fp32" else f", {precision}")

    def _shared(self, variant):
        return f"{self._network}{self.detail(variant)}, {self._clips}"

    def _is_current(self, row):
        """Whether a row was computed with this classifier, these clips, and this variant."""
        text = str(row["computed_with"])
        known = {str(v): v for v in self.variants}
        variant = str(row.get(self.variant))
        if variant in known and not text.endswith(self._shared(known[variant])):
            return False
        return self._network in text and text.endswith(self._clips)

    def _part(self, method, variant):
        return {"method": method} | ({} if self.variant is None else {self.variant: variant})

    def rows(self):
        """All rows; those that are there are kept, the file grows by method."""
        cache = RowCache(self.folder, self.rows_name, [*self.columns, "computed_with"])
        cache.keep_only(self._is_current)
        todo = {}
        for method, interpreter in self.interpreters.items():
            for variant in self.variants:
                text = f"{interpreter.description}, {self._shared(variant)}"
                if cache.lacks(text, **self._part(method, variant)):
                    todo.setdefault(method, {})[variant] = text
        steps = [
            (method, group)
            for method, variants in todo.items()
            for group in ([list(variants)] if self.together else [[v] for v in variants])
        ]
        total = len(steps) * len(self.chosen)
        with tqdm(total=total, desc=self.name, unit="clip", disable=not todo) as bar:
            for method, group in steps:
                found = {variant: [] for variant in group}
                for batch in self.batches(group[0]):
                    with torch.no_grad():
                        own = self.measure(self.interpreters[method], batch, group)
                    for variant, rows in own.items():
                        found[variant] += rows
                    bar.update(len(batch.rows))
                for variant, rows in found.items():
                    cache.put(rows, todo[method][variant], **self._part(method, variant))
        # As the file has them, so that a later call gives the same.
        order = list(self.hparams["interpreters"])
        return in_order(cache.rows(), order).reset_index(drop=True)
