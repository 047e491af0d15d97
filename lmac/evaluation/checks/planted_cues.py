"""Is a mask where the reason is? On clips whose deciding part is known (data_prep.planted_cues).

    python -m lmac planted_cues recipes/planted_cues/recipe.yaml:cnn14 \
        --background_folder=/path/to/ESC-10

Explains the classifier's decisions on the clips of target_folds by every method, and compares each
mask with the cue that was planted, over the clips that are decided for it:

- AUC, AP: the mask as a detector of the cells where the cue is louder than the background;
- cue kept, distractor kept, background kept: share of their energy that the mask lets through;
- SNR gain: cue to background after the mask over before it, median;
- pointing: the mask's largest cell is of the cue;
- both kept: at least 60 % of either of two cues (fold 6);
- found: at least 60 % of the cue, and at most a quarter of the background.

Writes summary.csv (a row per method and level), table.md, controls.csv (does the cue decide?),
planted_cues.png and planted_cues_clips.csv (a row per clip and method) into output_folder, which is
not that of an evaluation. A method that is added later is the only one computed. With audit_clips
there are only so many clips, the first of every class.
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from data_prep.audio import AudioCache, fit_length
from data_prep.generated import RECORD
from data_prep.planted_cues import CUE_S, FAMILIES, TWO
from lmac.core.scoring import classify, probabilities
from lmac.evaluation.checks.base import MaskCheck
from lmac.evaluation.files import CONTROLS, PLANTED
from lmac.evaluation.folder import EvaluationFolder, in_order
from lmac.explain.figures import planted_figure
from lmac.io.files import write_csv
from metrics import planted
from metrics.faithfulness import (
    average_drop,
    average_gain,
    average_increase,
    faithfulness,
    fidelity_in,
    pick,
)
from metrics.masks import mask_mean
from metrics.summary import summarise
from metrics.tables import markdown_table

ENOUGH, LITTLE = 0.6, 0.25  # of the cue, and of the background
TRUTH = {
    "auc": "AUC ↑", "ap": "AP ↑", "cue_kept": "cue kept ↑", "distractor_kept": "distractor kept ↓",
    "background_kept": "background kept ↓", "snr_gain": "SNR gain (dB) ↑", "pointing": "pointing ↑",
    "both_kept": "both kept ↑", "found": "found ↑",
}  # fmt: skip
FAITH = ("MM", "AI", "AD", "AG", "FF", "Fid-In")
MEDIANS = ("snr_gain",)
WHO = ("ID", "target_id", "setting", "snr_db", "cue", "counts")
BY = ["method", "snr_db", "setting"]


class PlantedCues(MaskCheck):
    """Compares masks of the classifier's decisions with the cues that were planted.

    ValueError for the folder of an evaluation, another scenario and another data set.
    """

    name, files, n_clips = PLANTED, ("summary", "table"), "audit_clips"
    columns = ("method", *WHO, "cells", *TRUTH, *FAITH)

    def __init__(self, hparams, setup):
        folder = EvaluationFolder(hparams["output_folder"])
        if folder.has_rows:
            raise ValueError(
                f"{folder.path} is the folder of an evaluation, whose summary.csv would be lost: "
                "give another --output_folder."
            )
        super().__init__(hparams, setup)
        n = round(hparams["signal_length_s"] * hparams["sample_rate"])
        self.truth = Planted(hparams["data_folder"], n, hparams["sample_rate"])
        if hparams["scenario"] != "plain":
            raise ValueError("Planted cues are explained as they are: give --scenario=plain.")

    def detail(self, variant):
        made = hashlib.sha256((self.truth.folder / RECORD).read_bytes()).hexdigest()[:12]
        return f", data {made}, {self.explained.domain.description}"

    @cached_property
    def chosen(self):
        scenario = self.setup.scenario.reset_index(drop=True)
        return first_of_each(scenario, self.hparams[self.n_clips])

    @cached_property
    def facts(self):
        """A row per clip, of :func:`controls`."""
        return controls(self.explained, self.truth, self.setup.labels, self.chosen,
                        self.hparams["batch_size"], self.setup.device)  # fmt: skip

    @cached_property
    def _counts(self):
        """ID to 1 where the clip is decided for the cue, else 0."""
        right = self.facts["accuracy"] == 1
        if self.truth.shortcut:  # without the cue it must be decided otherwise
            right &= self.facts["background_alone"] == 0
        return dict(zip(self.facts["ID"], right.astype(int), strict=True))

    def measure(self, interpreter, batch, variants):
        IDs = [row["ID"] for row in batch.rows]
        target, seed = batch.clips.decision, self.seed + batch.number
        mask = self.mask(interpreter, batch.clips, target, seed)
        parts = parts_of(self.explained, self.truth, IDs, batch.sig)
        found = values_of(self.explained, batch.clips, mask, parts)
        return {
            None: [
                self._who(ID) | {name: float(value[i]) for name, value in found.items()}
                for i, ID in enumerate(IDs)
            ]
        }

    def _who(self, ID):
        row = self.truth.table.loc[ID]
        known = {"ID": ID, "target_id": row["source"], "setting": self.truth.setting(ID)}
        known |= {"snr_db": row["snr_db"], "cue": row["cue"]}
        return known | {"counts": self._counts.get(ID, 0)}

    def summary(self, rows):
        order = list(self.hparams["interpreters"])
        summary = in_order(summary_of(rows, self.hparams["n_boot"]), order)
        return summary.sort_values(["setting", "snr_db"], ascending=[True, False], kind="stable")

    def report(self, summary, rows):
        write_csv(self.facts, self.folder.path / CONTROLS, checked=True)
        return report(summary, self.facts, self.about(f"{len(self.chosen)} clips"))

    def about(self, n_clips):
        folds = ", ".join(map(str, self.hparams["target_folds"]))
        return super().about(f"{n_clips} of fold {folds}")

    def figure(self, summary, rows, path):
        rows = rows[rows["counts"] == 1]
        planted_figure(rows.assign(family=rows["cue"].map(FAMILIES)), path)


def values_of(explained, clips, mask, parts):
    """What a mask keeps of what was planted, and what it does to the classifier.

    Arguments
    ---------
    explained : ExplainedClassifier
    clips : lmac.core.scoring.Clips
    mask : Tensor [B, T, F]
        For the classifier's own decisions.
    parts : dict of str to Tensor [B, T, F]
        X of ``cue``, ``background`` (all but the cue), ``distractor``, and of the ``first`` and the
        ``second`` cue, silent where there is none.

    Returns
    -------
    dict of str to Tensor [B]
        TRUTH and FAITH, in float64; NaN where undefined.
    """
    cells = planted.cue_cells(parts["cue"], parts["background"])
    found = planted.detection(mask, cells)
    gained = planted.gain(mask, clips.X)
    kept = {name: planted.kept(gained, part) for name, part in parts.items()}
    both = torch.stack([kept["first"], kept["second"]])
    alone = both.isnan().any(0)
    evidence = (kept["cue"] >= ENOUGH) & (kept["background"].nan_to_num(0) <= LITTLE)
    target = clips.decision
    probs_in = probabilities(explained, clips, mask * clips.X)
    probs_out = probabilities(explained, clips, (1 - mask) * clips.X)
    p, p_in, p_out = (pick(probs, target) for probs in (clips.probs, probs_in, probs_out))
    return {
        "cells": cells.double().mean((1, 2)),
        "auc": found["AUC"],
        "ap": found["AP"],
        "cue_kept": kept["cue"],
        "distractor_kept": kept["distractor"],
        "background_kept": kept["background"],
        "snr_gain": planted.snr_gain(gained, parts["cue"], parts["background"]),
        "pointing": planted.pointing(mask, cells),
        "both_kept": (both.amin(0) >= ENOUGH).double().masked_fill(alone, float("nan")),
        "found": evidence.double(),
        "MM": mask_mean(mask),
        "AI": average_increase(p, p_in),
        "AD": average_drop(p, p_in),
        "AG": average_gain(p, p_in),
        "FF": faithfulness(p, p_out),
        "Fid-In": fidelity_in(probs_in, target),
    }


class Planted:
    """What was planted in the clips of a data set.

    Arguments
    ---------
    data_folder : path
        Of ``data_prep.planted_cues``; ValueError for another data set.
    n_samples, sample_rate : int
    """

    def __init__(self, data_folder, n_samples, sample_rate):
        self.folder, self.n_samples = Path(data_folder), n_samples
        self.read = AudioCache(None, sample_rate)
        self.sample_rate = sample_rate
        meta = self.folder / "meta" / "planted.csv"
        if not meta.is_file():
            raise ValueError(
                f"There is no {meta}: give a YAML whose dataset_yaml is datasets/planted_cues.yaml."
            )
        text = {"cue": str, "start_s": str}
        table = pd.read_csv(meta, dtype=text, keep_default_na=False)
        self.table = table.set_index(table["filename"].str.removesuffix(".wav"))
        self.shortcut = json.loads((self.folder / RECORD).read_text())["shortcut_class"]

    def setting(self, ID):
        """Which of the settings a clip is of."""
        if self.shortcut is not None:
            return "shortcut"
        return "two reasons" if self.table.loc[ID, "fold"] == TWO else "one cue"

    def wanted(self, ID):
        """The class that the cue speaks for, None for a clip without one."""
        if self.shortcut is not None:
            return self.shortcut if self.table.loc[ID, "cue"] else None
        return self.table.loc[ID, "category"]

    def sounds(self, ID):
        """Clip, cue, distractor, first and second cue as they were written: Tensor [5, L]."""
        row = self.table.loc[ID]
        clip, cue, distractor = (
            torch.from_numpy(fit_length(self.read(self.folder / part / row["filename"]), n))
            for n in [self.n_samples]
            for part in ("audio", "clean", "distractor")
        )
        first, second, starts = cue.clone(), cue.clone(), [float(s) for s in row["start_s"].split()]
        middle = self.n_samples
        if len(starts) == 2:
            middle = round((starts[0] + CUE_S + starts[1]) / 2 * self.sample_rate)
        first[middle:] = 0
        second[:middle] = 0
        return torch.stack([clip, cue, distractor, first, second])


def parts_of(explained, truth, IDs, sig):
    """The parts of :func:`values_of` of clips ``sig`` [B, L], at the level that they have."""
    sounds = torch.stack([truth.sounds(ID) for ID in IDs]).to(sig.device)
    written = sounds[:, 0].abs().amax(1).clamp_min(1e-8)
    sounds = sounds * (sig.abs().amax(1) / written)[:, None, None]
    _, cue, distractor, first, second = sounds.unbind(1)
    parts = {"cue": cue, "background": sig - cue, "distractor": distractor}
    parts |= {"first": first, "second": second}
    return {name: explained.domain.analyse(x)[0] for name, x in parts.items()}


@torch.no_grad()
def controls(explained, truth, labels, scenario, batch_size, device):
    """Does the cue decide? A row per clip: what the classifier decides with other evidence.

    Returns
    -------
    DataFrame
        ``ID``, ``setting``, ``snr_db``; 1 or 0: ``accuracy`` (decided for the cue's class),
        ``background_alone`` (the same, without the cue), ``moved`` (for the class of another clip's
        cue, in the place of its own; NaN with a shortcut, which has one cue); the classes decided
        for the background with the distractor (``without_cue``) and for the ``distractor`` alone.
    """
    IDs = [ID for ID in scenario["ID"] if truth.wanted(ID) is not None]
    rows = []
    for start in range(0, len(IDs), batch_size):
        own = IDs[start : start + batch_size]
        other = [IDs[(i + len(IDs) // 2) % len(IDs)] for i in range(start, start + len(own))]
        sounds, others = (torch.stack([truth.sounds(i)[:3] for i in x]) for x in (own, other))
        clip, cue, distractor = sounds.unbind(1)
        level = cue.norm(dim=1) / others[:, 1].norm(dim=1)
        swapped = clip - cue + level[:, None] * others[:, 1]
        answers = [
            classify(explained, (x / x.abs().amax(1, keepdim=True).clamp_min(1e-8)).to(device))
            .argmax(1)
            .tolist()
            for x in (clip, clip - cue, swapped, distractor)
        ]
        there = distractor.abs().amax(1) > 0
        for ID, another, whole, without, moved, alone, any_ in zip(
            own, other, *answers, there.tolist(), strict=True
        ):
            wanted = truth.wanted(ID)
            rows.append(
                {
                    "ID": ID,
                    "setting": truth.setting(ID),
                    "snr_db": truth.table.loc[ID, "snr_db"],
                    "accuracy": int(labels[whole] == wanted),
                    "background_alone": int(labels[without] == wanted),
                    "moved": float("nan")
                    if truth.shortcut
                    else int(labels[moved] == truth.wanted(another)),
                    "without_cue": labels[without],
                    "distractor": labels[alone] if any_ else "",
                }
            )
    return pd.DataFrame(rows)


def first_of_each(scenario, n):
    """``n`` rows of a scenario, as many of each label; all with None."""
    if n is None or n >= len(scenario):
        return scenario
    each = max(1, n // scenario["label"].nunique())
    return scenario.groupby("label", sort=False).head(each)


def summary_of(rows, n_boot):
    """A row per method, level and setting: means with intervals (backgrounds' recordings are
    resampled), SNR gain as median, ``n`` clips that are decided for the cue."""
    rows = rows[rows["counts"] == 1]
    names = [n for n in (*TRUTH, *FAITH, "cells") if rows[n].notna().any() and n not in MEDIANS]
    summary = summarise(rows, BY, names, n_boot=n_boot)
    medians = rows.groupby(BY)[list(MEDIANS)].median().reset_index()
    summary = summary.merge(medians, on=BY).drop(columns=[c for c in summary if "undefined" in c])
    first = [*BY, *(n for n in TRUTH if n in summary), *(n for n in FAITH if n in summary), "n"]
    return summary[[*first, *(c for c in summary if c not in first)]]


def report(summary, facts, about):
    """Markdown: a table per setting and level."""
    lines = ["# Planted cues: is a mask where the reason is?", "", about, ""]
    lines += ["Over the clips that are decided for the cue's class. " + _LEGEND]
    for (setting, snr), part in summary.groupby(["setting", "snr_db"], sort=False):
        own = facts[(facts["setting"] == setting) & (facts["snr_db"] == snr)]
        shares = own[["accuracy", "background_alone", "moved"]].mean()
        text = (
            f"{len(own)} clips, {part['n'].iloc[0]} counted. Decided for the cue's class: "
            f"{shares['accuracy']:.2f}; without the cue: {shares['background_alone']:.2f}"
        )
        if not pd.isna(shares["moved"]):
            text += f"; for another's, with that in its place: {shares['moved']:.2f}"
        heads = {c: h for c, h in TRUTH.items() if c in part and part[c].notna().any()}
        heads |= {c: c for c in FAITH}
        cells = part["cells"].iloc[0]
        lines += ["", f"## {setting.capitalize()}, {snr:+g} dB", "", f"{text}."]
        lines += [f"The cue has {100 * cells:.1f} % of the cells.", ""]
        lines += markdown_table(
            ["method", *heads.values()],
            [
                [r["method"], *("" if pd.isna(r[c]) else _number(r[c], c) for c in heads)]
                for r in part.to_dict("records")
            ],
        )
    return "\n".join(lines) + "\n"


_LEGEND = (
    "AUC, AP: the mask as a detector of the cells where the cue is louder than the background. "
    "Kept: share of the energy that is let through. SNR gain: median. Pointing: the largest cell "
    "is of the cue. Found: at least 60 % of the cue and at most a quarter of the background kept."
)


def _number(value, name):
    decimals = 1 if name in ("snr_gain", "AI", "AD", "AG") else 3
    return f"{value:.{decimals}f}"


main = PlantedCues.main
