"""Training the L-MAC decoder on a frozen classifier.

The YAML names the Brain (``brain``); :func:`train_decoder` does all the rest.
"""

import contextlib
from dataclasses import replace
from pathlib import Path

import speechbrain as sb
import torch
import torch.nn.functional as F

from lmac.checkpoints import (
    DECODER_FILE,
    build_decoder,
    decoder_facts,
    decoder_file,
    explained_facts,
    labels_of,
    load_decoder,
    training_facts,
)
from lmac.core.losses import Step, clips_out
from lmac.core.outputs import log_p_of, probabilities
from lmac.io.processes import device_of, gather
from lmac.training.augment import WaveformAugment
from lmac.training.brain import TrainingBrain, explainer_datasets, train_explainer
from lmac.transfer import transfer_classifiers
from metrics import Outcome, compute

# How far masks of l_consistency are moved, at most: seconds and dB.
LATER_S, SOFTER_DB = 0.1, 6.0


def train_decoder(explained, hparams, run_opts, brain_class=None, datasets=None, **facts):
    """Train the decoder of hyperparameters such as those of ``hparams/lmac.yaml``.

    Arguments
    ---------
    explained : lmac.core.explained.ExplainedClassifier
    hparams : dict
    run_opts : speechbrain RunOptions
    brain_class : type, optional
        In place of ``hparams["brain"]``.
    datasets : dict, optional
        In place of those of ``explainer_datasets``.
    **facts
        What ``info.json`` records besides.

    Returns
    -------
    The Brain, with the selected checkpoint loaded; what it found is in ``<output_folder>/best``.
    """
    brain_class = brain_class or hparams["brain"]
    # Whatever may be missing is named before audio is decoded.
    brain_class.require(hparams, explained)
    decoder = build_decoder(hparams["decoder"], explained)
    key = "finetune_from"
    if hparams[key] is not None or hparams["l_guidance"] > 0:
        load_decoder(decoder, explained, decoder_file(hparams[key], key), key)
    transfer = []
    if hparams["transfer_classifiers"]:
        device = device_of(run_opts)
        labels = labels_of(explained.classifier, hparams["classifier_checkpoint"])
        transfer = transfer_classifiers(
            hparams["transfer_classifiers"], explained.to(device), labels, device
        )
    datasets = datasets or explainer_datasets(hparams)
    brain = train_explainer(
        brain_class, explained, {"decoder": decoder}, datasets, hparams, run_opts, transfer=transfer
    )
    if sb.utils.distributed.if_main_process() and brain.exports:
        info = training_facts(hparams, explained.domain) | brain.recorded(hparams)
        info |= explained_facts(explained) | decoder_facts(decoder) | facts
        if transfer:
            names = [other.name for other in transfer]
            info |= {"l_transfer": hparams["l_transfer"], "transfer_classifiers": names}
        info |= {"epochs": brain.epochs_done, "valid": brain.test_stats}
        brain.export(Path(hparams["output_folder"]) / "best", info)
    return brain


class DecoderBrain(TrainingBrain):
    """Trains ``modules.decoder``; the classifier is no module of the Brain and stays frozen.

    Arguments
    ---------
    explained : lmac.core.explained.ExplainedClassifier
    transfer : list of lmac.transfer.TransferClassifier
        Further networks that what is kept has to convince.
    **kwargs
        Of ``speechbrain.Brain``. ``hparams`` beside SpeechBrain's: ``augment``
        (``lmac.training.augment.WaveformAugment``), ``lmac_loss``, ``out_share``,
        ``l_transfer`` where there are any, and what ``TrainingBrain`` needs.

    Validation clips are mixed as in training, the same way in every epoch. On clips as they are, a
    large mask loses little, and in stage 2 one of ones would be the best.
    """

    stage_sums = ("parts", "scores", "clips")

    def __init__(self, explained, transfer=(), **kwargs):
        super().__init__(**kwargs)
        self.explained = explained.to(self.device)
        self.transfer = transfer

    @classmethod
    def require(cls, hparams, explained):
        """ValueError for hyperparameters, or a classifier, that this training is not for."""

    @classmethod
    def recorded(cls, hparams):
        """What ``info.json`` keeps of the loss, a dict: what the YAML gives it, and its like.

        Captions of tables and ``L-MAC refined`` read it there, so a term that is new is one in
        the loss and in the YAML.
        """
        facts = {**hparams["lmac_loss"].keywords, "out_share": hparams["out_share"]}
        if hparams["finetune_from"] is not None:
            facts["finetune_from"] = hparams["finetune_from"]
        if not hparams["l_guidance"]:
            facts = {k: v for k, v in facts.items() if k not in ("guidance", "cc_th", "bin_th")}
        return facts

    def weighs(self, name):
        """Whether the YAML gives the loss this weight, and not 0."""
        return getattr(self.hparams.lmac_loss, "keywords", {}).get(name, 0) > 0

    def compute_forward(self, batch, stage):
        """Batch to a :class:`lmac.core.losses.Step` with all that the loss needs."""
        with torch.no_grad():
            step = self.begin(*self.sounds(batch, stage), stage)
        step.mask = self.mask(step, stage)
        if self.transfer:
            step.transfer = self.loss_of_transfer(step.mask * step.X, step)
        step.logits_in, step.logits_out = self.parts_of(step, stage)
        step.mask = step.mask.float()
        if self.weighs("l_consistency"):
            step.moved = self.moved(step, stage)
        return step

    def begin(self, wav, clean, stage):
        """A Step of clips and the clips' own part in them, [B, L], as far as the target."""
        X, phase = self.explained.domain.analyse(wav)
        clean_X = X if clean is wav else self.explained.domain.analyse(clean)[0]
        logits, representations = self.explained(X, phase)
        return Step(
            wav=wav, X=X, phase=phase, clean_X=clean_X, logits=logits,
            representations=representations, target=logits.argmax(1),
            outputs=self.explained.outputs, threshold=self.explained.threshold,
        )  # fmt: skip

    def mask(self, step, stage):
        """Masks [B, T, F] of the decoder."""
        decoder = self.module("decoder", stage)
        return decoder(step.representations, step.X, step.target, self.explained.domain).sigmoid()

    def parts_of(self, step, stage):
        """Logits of what is masked in [B, K] and masked out [N, K], in one pass.

        In training the latter of the first N clips only, ``out_share`` of the batch: with its
        small weight, a part of a batch in random order tells enough.
        """
        n = len(step.X)
        if stage == sb.Stage.TRAIN:
            n = clips_out(n, self.hparams.out_share)
        return self.explained.logits_of_parts(step.mask, step.X, step.phase, n)

    def moved(self, step, stage):
        """``Step.moved``: clips that are later by at most ``LATER_S``, softer by ``SOFTER_DB``."""
        domain = self.explained.domain
        hop = domain.front_end.hop_samples
        most = max(1, round(LATER_S * domain.front_end.sample_rate / hop))
        with self.draws(stage):
            frames = int(torch.randint(1, most + 1, ()))
            gain = 10 ** (-SOFTER_DB * float(torch.rand(())) / 20)
        with torch.no_grad():
            wav = gain * F.pad(step.wav, (frames * hop, 0))[:, : step.wav.shape[1]]
            X, phase = domain.analyse(wav)
            logits, maps = self.explained(X, phase)
        other = replace(step, X=X, phase=phase, logits=logits, representations=maps)
        mask = self.mask(other, stage).float()
        alike = logits.argmax(1) == step.logits.argmax(1)
        return step.mask[:, :-frames], mask[:, frames:], alike

    def draws(self, stage):
        """A context of random numbers: in validation the same in every epoch."""
        return contextlib.nullcontext() if stage == sb.Stage.TRAIN else self.validation_numbers()

    def loss_of_transfer(self, kept, step):
        """Mean cross-entropy of transfer classifiers for the targets, a scalar.

        Given M X, ``kept``; over the clips that a network decides so, too. No network has to see
        in an explanation what it does not see in the input.
        """
        phase, target = step.phase, step.target
        sums = []
        for other in self.transfer:
            with torch.no_grad():
                alike = other.logits(step.X, phase).argmax(1) == target
            losses = -log_p_of(other.logits(kept, phase).float(), target, step.outputs)
            sums.append((losses * alike).sum() / alike.sum().clamp_min(1))
        return torch.stack(sums).mean()

    def sounds(self, batch, stage):
        """Batch to clips as they are explained and the clips' own part in them, both [B, L]."""
        wav = batch.sig.data.to(self.device)
        if self.hparams.augment is None:
            return wav, wav
        if stage == sb.Stage.TRAIN:
            return self.hparams.augment(wav)
        return self.mix_for_validation(wav)

    def mix_for_validation(self, wav):
        """Clips [B, L] to mixtures and the clips' own part in them, without shift and gain.

        Every epoch and every run validates on the same audio.
        """
        mix = WaveformAugment(shift=False, gain_db=(0, 0), mixer=self.hparams.augment.mixer)
        with self.validation_numbers():
            return mix(wav)

    @contextlib.contextmanager
    def validation_numbers(self):
        """Random numbers that come from ``seed`` and the number of the batch.

        They are the same in every epoch, and training draws the same as without validation.
        """
        device = torch.device(self.device)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.hparams.seed + self.batch_number)
            yield

    def compute_objectives(self, step, batch, stage):
        """The L-MAC loss of a Step; in evaluation also the metrics of every clip."""
        parts = self.hparams.lmac_loss(step)
        if step.transfer is not None:
            parts["transfer"] = self.hparams.l_transfer * step.transfer
            parts["loss"] = parts["loss"] + parts["transfer"]
        if stage != sb.Stage.TRAIN:
            logits = step.logits, step.logits_in, step.logits_out
            probs = [probabilities(x.double(), step.outputs) for x in logits]
            outcome = Outcome(*probs, step.target, step.mask, threshold=step.threshold)
            scores = self.score(outcome, step)
            self.scores.append({name: value.cpu() for name, value in scores.items()})
        self.parts.append({k: v.detach() for k, v in parts.items()})
        self.clips.append(len(step.target))
        return parts["loss"]

    def score(self, outcome, step):
        """Values of every validation clip by name, [B]; NaN where one is undefined."""
        return compute(outcome)

    def on_stage_start(self, stage, epoch=None):
        self.parts, self.scores, self.clips = [], [], []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        # Numbers only now: each float() would make a GPU wait in the middle of the epoch.
        found = [{k: float(v) for k, v in parts.items()} for parts in self.parts]
        parts, scores, clips = map(gather, (found, self.scores, self.clips))
        sums = {k: sum(p[k] * n for p, n in zip(parts, clips, strict=True)) for k in parts[0]}
        stats = {k: value / sum(clips) for k, value in sums.items()}
        if "selected" in stats:  # a number of clips, not a mean
            stats |= {"selected": int(sum(p["selected"] for p in parts)), "of": sum(clips)}
        for name in scores[0] if scores else ():
            stats[name] = float(torch.cat([s[name] for s in scores]).nanmean())
        self.finish_stage(stage, stats, epoch)

    def export(self, folder, info):
        """Write the decoder's weights and what is known of them."""
        self.export_weights(folder, {"decoder": DECODER_FILE}, info)
