"""Scoring interpreters: a row per clip and method, written as it is computed."""

import math
import time

import speechbrain as sb
import torch

from lmac.core.scoring import analyse_clips, explain_and_score
from lmac.explain.audio import add_wavs
from lmac.explain.figures import explanation_figure, write_mask, write_spectrogram
from lmac.io import dry_run
from lmac.io.names import shown
from lmac.io.processes import batch_number, dealt_batches, loading
from metrics.tables import SECONDS


class EvaluationBrain(sb.Brain):
    """Scores interpreters on batches with ``id, target, class, sig, clean``.

    Arguments
    ---------
    explained : ExplainedClassifier
    interpreters : dict
        Name to Interpreter.
    folder : lmac.evaluation.folder.EvaluationFolder
        Which has begun: it knows the rows that are there.
    labels : list of str
        Class names.
    scenario : str
    listen_ids : set of str
        Clips whose audio and figures are written.
    seed : int
        Of methods with random numbers, which start anew with each batch.
    **kwargs
        Of ``speechbrain.Brain``.
    """

    def __init__(
        self, explained, interpreters, folder, labels, scenario, listen_ids, seed, **kwargs
    ):
        super().__init__(**kwargs)
        self.explained = explained.to(self.device)
        self.interpreters = interpreters
        self.folder = folder
        self.labels = labels
        self.scenario = scenario
        self.listen_ids = listen_ids
        self.seed = seed

    def make_dataloader(self, dataset, stage, batch_size, **kwargs):
        """A loader of the batches of this process; see ``lmac.io.processes``."""
        batches, kwargs = dealt_batches(len(dataset), batch_size), loading(self.device, kwargs)
        return super().make_dataloader(dataset, stage, batch_sampler=batches, **kwargs)

    def evaluate_batch(self, batch, stage):
        """Score every method that lacks rows of this batch; the loss is of no meaning (0)."""
        todo = [m for m in self.interpreters if self.folder.missing(m, batch.id)]
        start = time.perf_counter()
        if todo:
            wav, clean = (
                part.data.to(self.device, non_blocking=True) for part in (batch.sig, batch.clean)
            )
            with self.evaluation_ctx:  # --eval_precision
                clips = analyse_clips(self.explained, wav, clean)
            for method in todo:
                with self.evaluation_ctx:
                    scored = explain_and_score(
                        self.explained, self.interpreters[method], clips, clips.decision,
                        self.seed + batch_number(self.step),
                    )  # fmt: skip
                # Samples first: what has its row is not computed again.
                for i, ID in enumerate(batch.id):
                    if ID in self.listen_ids:
                        sounds = wav[i], clean[i]
                        self._write_sample(method, batch, i, sounds, clips, scored.outcome)
                self._write_rows(method, batch, scored)
        dry_run.note(batch=time.perf_counter() - start, device=str(self.device))
        return torch.zeros(())

    def _write_rows(self, method, batch, scored):
        # On the CPU at once: each number of a GPU that is asked for is waited for.
        outcome, truth = scored.outcome, batch["class"].tolist()
        target, names = outcome.target.tolist(), list(scored.scores)
        numbers = (outcome.p, outcome.p_in, outcome.p_out, *scored.scores.values())
        p, p_in, p_out, *scores = torch.stack(numbers).tolist()
        self.folder.append(
            {
                "scenario": self.scenario,
                "domain": self.explained.domain.name,
                "method": method,
                "ID": ID,
                "target_id": batch.target[i],
                "label": self.labels[truth[i]],
                "decision": self.labels[target[i]],
                "correct": int(target[i] == truth[i]),
                # Enough digits for float64: near 1 they tell an increase from a tie.
                "p": repr(p[i]),
                "p_in": repr(p_in[i]),
                "p_out": repr(p_out[i]),
                **{
                    name: "" if math.isnan(values[i]) else repr(values[i])
                    for name, values in zip(names, scores, strict=True)
                },
                SECONDS: f"{scored.seconds:.4g}",
            }
            for i, ID in enumerate(batch.id)
        )

    def _write_sample(self, method, batch, i, sounds, clips, outcome):
        domain, ID = self.explained.domain, batch.id[i]
        folder = self.folder.sample(ID, method)
        folder.mkdir(parents=True, exist_ok=True)
        X, mask = clips.X[i], outcome.mask[i]
        if domain.listenable:
            removed = domain.synthesise(((1 - mask) * X)[None], clips.phase[i : i + 1])[0]
            wav, clean = sounds
            shared = {"input": wav}
            if (wav != clean).any():
                shared |= {"target": clean, "contaminant": wav - clean}
            own = {"explanation": outcome.audio[i], "removed": removed}
            own = {f"{folder.name}/{name}": sound for name, sound in own.items()}
            add_wavs(shared, own, folder.parent, domain.front_end.sample_rate)
        title = (
            f"{shown(ID)}: {method}, decision {self.labels[outcome.target[i]]!r} (truth "
            f"{self.labels[batch['class'][i]]!r})\np = {outcome.p[i]:.3f}, "
            f"p_in = {outcome.p_in[i]:.3f}, p_out = {outcome.p_out[i]:.3f}"
        )
        explanation_figure(X.cpu(), mask.cpu(), domain, title, folder / "explanation.png")
        # Without axes, for pages: the input once, and each mask to be laid over it.
        if not (folder.parent / "spectrogram.png").is_file():
            write_spectrogram(X.cpu(), domain, folder.parent / "spectrogram.png")
        write_mask(mask.cpu(), folder / "mask.png")
