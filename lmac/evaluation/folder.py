"""The folder of an evaluation: the one reader and writer of what is in it.

    metrics.csv          a row per clip and method, each with a checksum
    metrics.process1.csv rows of one of several processes, until they are merged into metrics.csv
    evaluation.json      what the rows were computed with, and what a reader must know
    scenario.csv         the manifest: which clips were mixed
    summary.csv          a row per method
    table.md             the summary as a table
    samples/<ID>/        spectrogram.png, input.wav and, of a mixture, target.wav and
                         contaminant.wav
    samples/<ID>/<method>/
                         explanation.wav, removed.wav, explanation.png, mask.png
    randomisation.csv, resynthesis.csv
                         further checks, with a report (.md) beside each
    SHA256SUMS           checksums of what is written as a whole

Tables, gallery, listening test and paper tables are made of it, and nothing is parsed out of
Markdown. Audio is missing in the mel domain, which cannot be made into sound.
"""

import io
import json
import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from data_prep.scenario_record import CHANGED as MANIFEST
from lmac.evaluation.clip import Clip
from lmac.evaluation.files import PROVENANCE
from lmac.io import dry_run
from lmac.io.checked_rows import CHECK, check_of, made_with, read_checked, to_text, with_checks
from lmac.io.files import (
    Damaged,
    content_of,
    damage,
    found,
    remove_remains,
    require_undamaged,
    whole,
    write_csv,
    write_text,
    writing,
)
from lmac.io.names import safe_name
from metrics import METRICS, checks, paper_metrics
from metrics.summary import summarise
from metrics.tables import SECONDS

logger = logging.getLogger(__name__)

NEEDED = (
    *("scenario", "domain", "method", "ID", "target_id", "label", "decision", "correct"),
    *("p", "p_in", "p_out"),
)
COLUMNS = (*NEEDED, *METRICS, SECONDS)


def in_order(table, methods):
    """Rows sorted by the order of ``methods``; those of other methods last, as they come."""
    order = {m: i for i, m in enumerate(methods)}
    return table.sort_values("method", key=lambda c: c.map(order).fillna(len(order)), kind="stable")


AGAIN = "evaluate with the same command again, which writes it anew."


def _whole_lines(path):
    """The text of ``path`` without a last line that a kill cut short."""
    text = content_of(path).decode("utf-8")
    return text[: text.rfind("\n") + 1]


@dataclass(frozen=True)
class Contents:
    """What pages and listening tests are made of: an evaluation's rows, and clips with samples."""

    folder: "EvaluationFolder"
    rows: pd.DataFrame
    clips: list

    @property
    def methods(self):
        """In the order of the rows."""
        return list(self.rows["method"].unique())

    @property
    def scored(self):
        """The number of clips, with samples or without."""
        return len(self.rows.drop_duplicates(["scenario", "domain", "ID"]))


def _require_same_rows(setting, output):
    """ValueError where the evaluation at ``output`` has rows of another setting."""
    folder = EvaluationFolder(output)
    if folder.metrics_csv.exists():
        folder.require_setting(setting)


def _with_present_metrics(table, methods):
    """Rows with the present metrics: one that is gone is left out, one that is new is empty.

    Rows of ``methods`` are computed again where there is a new one. Checksums are made anew.
    """
    if new := [c for c in COLUMNS if c not in table]:
        logger.info("Computing again, for %s is new.", ", ".join(new))
        table = table[~table["method"].isin(methods)]
    return table.assign(**{CHECK: ""}).reindex(columns=[*COLUMNS, CHECK], fill_value="")


def _made_with(note):
    """Method to what its rows were computed with, by ``note``; None where that is not known."""
    if "setting" not in note or "methods" not in note:
        return None
    methods = note["methods"].items()
    return {m: made_with(note["setting"], about["description"]) for m, about in methods}


class EvaluationFolder:
    """The folder at ``path``; nothing is read before it is asked for."""

    def __init__(self, path):
        self.path = Path(path)
        self.done = set()
        self._own_csv = self.metrics_csv
        self._made = {}

    # Rows

    @property
    def metrics_csv(self):
        return self.path / "metrics.csv"

    @property
    def has_rows(self):
        """Whether an evaluation was begun here."""
        return found(self.metrics_csv).is_file()

    def _parts(self):
        """The files of processes whose rows are not in ``metrics.csv`` yet."""
        return sorted(self.path.glob("metrics.process*.csv"))

    def begin(self, setting, methods):
        """Make the folder ready for rows; what was computed with the same settings stays.

        Several processes call it together, and so :meth:`finish`. Rows that processes left when
        they were killed are merged first; damaged ones are dropped, and so computed again.

        Arguments
        ---------
        setting : dict
            What all rows share (scenario, classifier, ...). ValueError when the folder has rows
            of another setting.
        methods : dict
            Method to a dict with ``description`` and what else is to be known of it. Rows of a
            method whose description changed are dropped.
        """
        # Here, since pages and tables that are made of a folder should not wait for it.
        from lmac.io.once import once
        from lmac.io.processes import count, rank

        self.done, self._made = once(self._begin, setting, methods)
        dry_run.note(compare=[partial(_require_same_rows, setting)])
        if count() > 1:
            # Of its own, for files that several append to lose rows on a network.
            self._own_csv = self.path / f"metrics.process{rank()}.csv"
            with whole(self._own_csv, "w") as file:
                file.write(to_text([[*COLUMNS, CHECK]]))

    def _begin(self, setting, methods):
        self.path.mkdir(parents=True, exist_ok=True)
        if not found(self.metrics_csv).exists():
            for part in self._parts():  # of rows that were deleted
                part.unlink()
        note = self._note_or_nothing()
        made = _made_with(note)
        rows = self._kept_rows(
            made, {m: made_with(setting, methods[m]["description"]) for m in methods}
        )
        if note and not rows.empty:
            self.require_setting(setting)
            stale = [
                m for m in methods
                if m in note["methods"]
                and note["methods"][m]["description"] != methods[m]["description"]
            ]  # fmt: skip
            if stale:
                logger.info("Computing again, for they changed: %s", ", ".join(stale))
                rows = rows[~rows["method"].isin(stale)]
            methods = {**note["methods"], **methods}
        if CHECK not in rows:  # of an earlier version, which may not have noted them
            methods = {m: {"description": "not recorded"} for m in rows["method"]} | methods
        note = {**note, "setting": setting, "methods": methods}
        self._made = _made_with(note)
        if made is not None and CHECK in rows:
            # Of a version that noted other keys of the setting: whole, by what it noted.
            renoted = rows["method"].map(lambda m: made[m] != self._made[m]).astype(bool)
            rows = rows.assign(**{CHECK: rows[CHECK].where(~renoted, "")})
        self._replace_rows(rows)
        for part in self._parts():
            part.unlink()
        self._write_note(note)
        return set(zip(rows["method"], rows["ID"], strict=True)), self._made

    def _kept_rows(self, made, made_now):
        """The rows that are there and whole, as text.

        Arguments
        ---------
        made : dict or None
            What rows were computed with; without it those are kept that were computed as now.
        made_now : dict
            What they are computed with now, for the methods asked for.
        """
        tables = []
        for path in (found(self.metrics_csv), *self._parts()):
            if not path.exists():
                continue
            table, damaged = read_checked(path, COLUMNS, made or made_now)
            if table is not None and list(table.columns) != [*COLUMNS, CHECK] and not damaged:
                table = _with_present_metrics(table, made_now)
            elif table is None or list(table.columns) != [*COLUMNS, CHECK]:
                self._rows_of(path, COLUMNS)
                text = io.StringIO(_whole_lines(path))
                table = pd.read_csv(text, dtype=str, keep_default_na=False)
            elif damaged and made is None:
                known = set(read_checked(path, COLUMNS)[0]["method"])
                if foreign := sorted(known - set(table["method"])):
                    raise Damaged(
                        f"{self.path / 'evaluation.json'} is damaged or missing, and the rows of "
                        f"{', '.join(foreign)} were not computed with what is asked for now: give "
                        "the settings of that evaluation and its --methods, and they are kept."
                    )
            if damaged:
                logger.warning(
                    "%s is damaged (%s): its %d other rows are kept, what is missing is computed "
                    "again.", path, ", ".join(damaged[:5]) + ", …" * (len(damaged) > 5), len(table)
                )  # fmt: skip
            tables.append(table)
        if not tables:
            return pd.DataFrame(columns=[*COLUMNS, CHECK])
        # Rows that a merge before had taken over already when it was killed are there twice.
        return pd.concat(tables).fillna("").drop_duplicates(["method", "ID"])

    def require_setting(self, setting):
        """ValueError when the rows that are here were computed with another ``setting``."""
        known = self.note.get("setting", setting)
        changed = [k for k in setting if known.get(k) != setting[k]]
        if changed:
            raise ValueError(
                f"{self.metrics_csv} holds rows of another {', '.join(changed)} "
                f"({known.get(changed[0])!r}, now {setting[changed[0]]!r}): "
                "give another --output_folder, or delete the file."
            )

    def finish(self, methods):
        """Merge the rows of all processes, sorted by ``methods`` and the clips of the scenario.

        So the file is the same, however many processes wrote it and were killed in between.
        """
        from speechbrain.utils.distributed import ddp_barrier

        from lmac.io.once import once

        ddp_barrier()  # until all have written their last row
        once(self._merge, list(methods))

    def _merge(self, methods):
        table = self._kept_rows(self._made, self._made)
        place = {ID: i for i, ID in enumerate(self.scenario["ID"])}
        table = table.sort_values("ID", key=lambda c: c.map(place), kind="stable")
        self._replace_rows(in_order(table, methods))
        for part in self._parts():
            part.unlink()

    def _replace_rows(self, table):
        text = with_checks(table, self._made)
        if not self.metrics_csv.exists() or self.metrics_csv.read_bytes() != text.encode():
            with whole(self.metrics_csv, "w") as file:
                file.write(text)
        Path(f"{self.metrics_csv}.gz").unlink(missing_ok=True)  # published rows that grow

    def missing(self, method, ids):
        """Whether ``method`` still lacks a row for one of ``ids``."""
        return any((method, i) not in self.done for i in ids)

    def append(self, rows):
        """Write dictionaries of one batch and method at once; known ones are left alone."""
        fresh = [r for r in rows if (r["method"], r["ID"]) not in self.done]
        # A metric that a domain cannot have, such as one of sound in mel, is an empty cell.
        undefined = dict.fromkeys(METRICS, "")
        fields = [[str((undefined | row)[column]) for column in COLUMNS] for row in fresh]
        checks = [check_of(f, self._made[r["method"]]) for f, r in zip(fields, fresh, strict=True)]
        lines = to_text([*f, check] for f, check in zip(fields, checks, strict=True))
        path = self._own_csv
        with writing(path), path.open("a", newline="", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        self.done |= {(r["method"], r["ID"]) for r in fresh}

    def rows(self, methods=()):
        """``metrics.csv`` as a DataFrame, without a last line that a kill cut short.

        Arguments
        ---------
        methods : list of str
            Sorts the rows; those of other methods come last.

        Further columns are welcome, and those of metrics may be missing. Raises FileNotFoundError
        without the file, and ValueError, which names the line, for one that is not as an
        evaluation writes it, or damaged.
        """
        path = found(self.metrics_csv)
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no {self.metrics_csv}: give the --output_folder of an "
                "eval_explanations.py run."
            )
        table = self._rows_of(require_undamaged(path, AGAIN))
        return in_order(table, methods) if len(methods) else table

    def _rows_of(self, path, columns=None):
        _, damaged = read_checked(path, COLUMNS, _made_with(self.note))
        if damaged:
            raise Damaged(
                f"{path} is damaged ({damaged[0]}): evaluate with the same command again, which "
                "computes again what is missing."
            )
        # The default parser may miss the last digit, which would drift when rows are rewritten.
        table = pd.read_csv(
            io.StringIO(_whole_lines(path)), keep_default_na=False, na_values=[""],
            float_precision="round_trip", dtype={"ID": str, "target_id": str, CHECK: str},
        ).drop(columns=CHECK, errors="ignore")  # fmt: skip
        if columns is not None and list(table.columns) != list(columns):
            raise ValueError(
                f"{path} has other columns than this version writes: give another "
                "--output_folder, or delete the file."
            )
        missing = [c for c in NEEDED if c not in table]
        if missing:
            raise ValueError(
                f"{path} lacks the columns {', '.join(missing)}: is it of eval_explanations.py?"
            )
        self._check_numbers(table)
        return table

    def _check_numbers(self, table):
        needed = ("p", "p_in", "p_out", "correct")
        for column in (*needed, *(m for m in METRICS if m in table)):
            bad = pd.to_numeric(table[column], errors="coerce").isna()
            # Only a metric may be undefined, which is an empty cell.
            bad = table[bad & (table[column].notna() | (column in needed))]
            if len(bad):
                value = bad[column].iloc[0]
                found = "an empty cell" if pd.isna(value) else repr(value)
                raise ValueError(
                    f"{self.metrics_csv}, line {bad.index[0] + 2}: {column} must be a number, got "
                    f"{found}; repair or delete the line and evaluate again."
                )
        twice = table[table.duplicated(["scenario", "domain", "method", "ID"])]
        if len(twice):
            raise ValueError(
                f"{self.metrics_csv}, line {twice.index[0] + 2}: a second row of "
                f"{twice['ID'].iloc[0]!r} and {twice['method'].iloc[0]!r}; keep one of them."
            )

    # What the rows were computed with, and what is said of them

    @property
    def note(self):
        """``evaluation.json``: ``setting``, ``methods`` and ``statement``; {} without one."""
        path = require_undamaged(self.path / "evaluation.json", AGAIN)
        if not path.is_file():
            return {}
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise Damaged(f"{path} is damaged ({error}): {AGAIN}") from error

    def _note_or_nothing(self):
        try:
            return self.note
        except Damaged as error:
            logger.warning("%s", str(error).removesuffix(f": {AGAIN}") + ": it is written anew.")
            return {}

    def _write_note(self, note):
        text = json.dumps(note, indent=2, ensure_ascii=False) + "\n"
        write_text(text, self.path / "evaluation.json", checked=True)

    @property
    def statement(self):
        """Title and paragraphs that a reader must know (topic to text), {} until it is complete."""
        return self.note.get("statement", {})

    def written(self):
        """The files of its numbers that are there, for links: table first."""
        names = ("table.md", "summary.csv", "metrics.csv", "scenario.csv", PROVENANCE)
        there = [found(self.path / name) for name in names]
        return [path for path in there if path.is_file()]

    def keep_manifest(self, path):
        """Copy the scenario manifest at ``path`` here, with what it was drawn with."""
        target = self.path / "scenario.csv"
        if Path(path).resolve() != target.resolve():
            write_text(Path(path).read_text(encoding="utf-8"), target, checked=True)

    @property
    def scenario(self):
        """The scenario manifest as a DataFrame of strings, None without one."""
        path = require_undamaged(self.path / "scenario.csv", MANIFEST)
        if not path.is_file():
            return None
        return pd.read_csv(path, dtype=str, keep_default_na=False)

    # Summaries

    def summary(self, rows, n_boot):
        """Means, intervals and undefined counts of ``rows``; seconds per clip without interval.

        Intervals resample targets and, where the manifest says that they are shared, contaminants.
        """
        names = [
            *paper_metrics(),
            *(c for c in checks() if c in rows and rows[c].notna().any()),
            SECONDS,
        ]
        names = [n for n in names if n in rows]
        summary = summarise(
            rows.assign(contaminant=self._contaminants(rows)),
            metric_names=names,
            crossed_column="contaminant",
            n_boot=n_boot,
        )
        return summary.drop(columns=[c for c in summary if c.startswith(f"{SECONDS} ")])

    def _contaminants(self, rows):
        """The recording that each row shares with others; missing where it is alone."""
        scenario = self.scenario
        if scenario is None or "contaminant_wav" not in scenario:
            return pd.Series(None, index=rows.index, dtype=object)
        # Noise that is drawn for each clip has no file.
        own = scenario.set_index("ID")["contaminant_wav"]
        return rows["ID"].map(own[own != ""])

    @property
    def written_summary(self):
        """``summary.csv`` as a DataFrame; FileNotFoundError before the evaluation is complete."""
        path = require_undamaged(self.path / "summary.csv", AGAIN)
        if not path.is_file():
            raise FileNotFoundError(f"There is no {path}: finish the evaluation first.")
        return pd.read_csv(path)

    def write_table(self, summary, text, statement):
        """Write ``summary.csv``, ``table.md`` and the statement that the table begins with."""
        write_csv(summary, self.path / "summary.csv", checked=True)
        write_text(text, self.path / "table.md", checked=True)
        self._write_note({**self.note, "statement": statement})

    # Further checks

    def check(self, name):
        """Rows of a check such as RANDOMISATION, None where it was not made or is damaged."""
        path = found(self.path / f"{name}.csv")
        if problem := damage(path):
            logger.warning("%s: it counts as not made.", problem)
            return None
        return pd.read_csv(path, dtype={"ID": str}) if path.is_file() else None

    def write_check(self, name, rows, text=None, report=None):
        """Write the rows of a check and, when complete, its report; returns the CSV's path.

        ``report``: the report's name, where it is another."""
        remove_remains(self.path, f"{name}.*")
        write_csv(rows, self.path / f"{name}.csv", checked=True)
        if text is not None:
            write_text(text, self.path / f"{report or name}.md", checked=True)
        return self.path / f"{name}.csv"

    # Samples

    def sample(self, ID, method=None):
        """The folder of a clip's audio and pictures: a method's, or what all methods share."""
        folder = self.path / "samples" / safe_name(ID)
        return folder if method is None else folder / safe_name(method)

    def clips(self, rows=None):
        """Every scored clip as a :class:`Clip`, whether it has samples or not."""
        rows = self.rows() if rows is None else rows
        groups = rows.groupby(["scenario", "domain", "ID"], sort=False)
        return [self._clip(part) for _, part in groups]

    def clips_with_samples(self, rows=None):
        """The clips that have audio or pictures; ValueError when none has."""
        clips = [clip for clip in self.clips(rows) if clip.folders]
        if not clips:
            raise ValueError(
                f"{self.path / 'samples'} has no audio or pictures of any clip in metrics.csv: "
                "evaluate with --listen=10 into a new --output_folder."
            )
        return clips

    def contents(self):
        """Rows, and clips with samples; ValueError when none has."""
        rows = self.rows()
        return Contents(self, rows, self.clips_with_samples(rows))

    def _clip(self, part):
        rows = {row["method"]: row for row in part.to_dict("records")}
        first = next(iter(rows.values()))
        samples = {m: self.sample(first["ID"], m) for m in rows}
        return Clip(
            ID=first["ID"],
            scenario=str(first["scenario"]),
            domain=str(first["domain"]),
            label=str(first["label"]),
            decision=str(first["decision"]),
            correct=bool(int(first["correct"])),
            p=float(first["p"]),
            results=self.path,
            folder=self.sample(first["ID"]),
            rows=rows,
            folders={m: path for m, path in samples.items() if path.is_dir()},
        )
