"""Training the L-MAC decoder on a frozen classifier.

The YAML names the Brain (``brain``); :func:`train_decoder` does all the rest.
"""

import contextlib
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
from lmac.core.losses import clips_out
from lmac.io.processes import device_of, gather
from lmac.training.augment import WaveformAugment
from lmac.training.brain import TrainingBrain, explainer_datasets, train_explainer
from lmac.transfer import transfer_classifiers
from metrics import Outcome, compute


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
    others = []
    if hparams["transfer_classifiers"]:
        device = device_of(run_opts)
        labels = labels_of(explained.classifier, hparams["classifier_checkpoint"])
        others = transfer_classifiers(
            hparams["transfer_classifiers"], explained.to(device), labels, device
        )
    datasets = datasets or explainer_datasets(hparams)
    brain = train_explainer(
        brain_class, explained, {"decoder": decoder}, datasets, hparams, run_opts, others=others
    )
    if sb.utils.distributed.if_main_process() and brain.exports:
        info = training_facts(hparams, explained.domain, *brain.recorded(hparams))
        info |= explained_facts(explained) | decoder_facts(decoder) | facts
        if others:
            names = [other.name for other in others]
            info |= {"l_transfer": hparams["l_transfer"], "others": names}
        info |= {"epochs": brain.epochs_done, "valid": brain.test_stats}
        brain.export(Path(hparams["output_folder"]) / "best", info)
    return brain


class DecoderBrain(TrainingBrain):
    """Trains ``modules.decoder``; the classifier is no module of the Brain and stays frozen.

    Arguments
    ---------
    explained : lmac.core.explained.ExplainedClassifier
    others : list of lmac.transfer.OtherClassifier
        Further networks that what is kept has to convince.
    **kwargs
        Of ``speechbrain.Brain``. ``hparams`` beside SpeechBrain's: ``augment``
        (``lmac.training.augment.WaveformAugment``), ``lmac_loss``, ``out_share``,
        ``l_transfer`` where there are others, and what ``TrainingBrain`` needs.

    Validation clips are mixed as in training, the same way in every epoch. On clips as they are, a
    large mask loses little, and in stage 2 one of ones would be the best.
    """

    stage_sums = ("parts", "scores", "clips")

    def __init__(self, explained, others=(), **kwargs):
        super().__init__(**kwargs)
        self.explained = explained.to(self.device)
        self.others = others
        self.unconvinced = None  # the loss of the others, of the batch at hand

    @classmethod
    def require(cls, hparams, explained):
        """ValueError for hyperparameters, or a classifier, that this training is not for."""

    @classmethod
    def recorded(cls, hparams):
        """The keys of ``hparams`` that ``info.json`` keeps: weights of the loss and the like."""
        keys = ["l_in", "l_out", "out_share", "l_sparse", "l_guidance"]
        if hparams["finetune_from"] is not None:
            keys += ["finetune_from"]
        if hparams["l_guidance"] > 0:
            keys += ["guidance", "cc_th", "bin_th"]
        return keys

    def compute_forward(self, batch, stage):
        """Batch to (logits of X, masked-in [B, K], masked-out [N, K]; decision [B]; mask, X,
        clean X [B, T, F]).

        The clean X is without what was mixed in; N as in ``both_parts``.
        """
        wav, clean = self.sounds(batch, stage)
        domain = self.explained.domain
        with torch.no_grad():
            X, phase = domain.analyse(wav)
            clean_X = X if clean is wav else domain.analyse(clean)[0]
            logits, representations = self.explained(X, phase)
            target = logits.argmax(1)
        mask = self.module("decoder", stage)(representations, X, target, domain).sigmoid()
        both = self.both_parts(mask, X, phase, target, stage)
        return logits, *both, target, mask.float(), X, clean_X

    def both_parts(self, mask, X, phase, target, stage):
        """Logits of what is masked in [B, K] and masked out [N, K], in one pass.

        In training the latter of the first N clips only, ``out_share`` of the batch: with its
        small weight, a part of a batch in random order tells enough.
        """
        n = len(X)
        if stage == sb.Stage.TRAIN:
            n = clips_out(n, self.hparams.out_share)
        self.unconvinced = None
        if self.others:
            self.unconvinced = self.loss_of_others(mask * X, X, phase, target)
        return self.explained.logits_of_parts(mask, X, phase, n)

    def loss_of_others(self, kept, X, phase, target):
        """Mean cross-entropy of other classifiers for the classes ``target`` [B], a scalar.

        Given M X, ``kept``; over the clips that a network decides so, too. No network has to see
        in an explanation what it does not see in the input.
        """
        sums = []
        for other in self.others:
            with torch.no_grad():
                alike = other.logits(X, phase).argmax(1) == target
            losses = F.cross_entropy(other.logits(kept, phase).float(), target, reduction="none")
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

    def compute_objectives(self, predictions, batch, stage):
        """The L-MAC loss; in evaluation also the metrics of every clip."""
        logits, logits_in, logits_out, target, mask, *_ = predictions
        parts = self.loss(predictions)
        if self.unconvinced is not None:
            parts["others"] = self.hparams.l_transfer * self.unconvinced
            parts["loss"] = parts["loss"] + parts["others"]
        if stage != sb.Stage.TRAIN:
            probs = [x.double().softmax(1) for x in (logits, logits_in, logits_out)]
            scores = self.score(Outcome(*probs, target, mask))
            self.scores.append({name: value.cpu() for name, value in scores.items()})
        self.parts.append({k: v.detach() for k, v in parts.items()})
        self.clips.append(len(target))
        return parts["loss"]

    def loss(self, predictions):
        """What ``compute_forward`` gave to the parts of the loss, a dict of scalars."""
        _, logits_in, logits_out, target, mask, X, clean_X = predictions
        return self.hparams.lmac_loss(logits_in, logits_out, target, mask, X, clean_X)

    def score(self, outcome):
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
