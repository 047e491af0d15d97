"""Training an audio classifier."""

import json
from pathlib import Path

import speechbrain as sb
import torch

from lmac.classifiers.base import CHECKPOINT_FILES, LABELS_FILE, AudioClassifier


def set_learning_rate(brain):
    """Set the rate of ``hparams.lr_schedule`` from the epoch and the step that now begins."""
    steps = brain.hparams.steps_per_epoch
    done = (brain.hparams.epoch_counter.current - 1) * steps + brain.step - 1
    rate = brain.hparams.lr_schedule(done / (steps * brain.hparams.number_of_epochs))
    for group in brain.optimizer.param_groups:
        group["lr"] = rate


class ClassifierBrain(sb.Brain):
    """Trains ``modules.embedding_model`` and ``modules.classifier`` on waveform batches.

    ``hparams`` beside SpeechBrain's: ``domain`` (to features), ``augment`` (waveforms),
    ``spec_augment`` (features, not waveforms), ``mixup`` (Beta parameter, 0 for none),
    ``classification_loss`` (outputs, targets), ``lr_schedule`` (progress) and
    ``freeze_embedding``: whether batches hold embeddings [B, D] in the place of waveforms
    (``lmac.brains.embeddings``) and only the head is trained, without augmentation but mixup.
    """

    def on_fit_start(self):
        super().on_fit_start()
        self.network = AudioClassifier(self.modules.embedding_model, self.modules.classifier)

    def compute_forward(self, batch, stage):
        """Batch to (logits [B, K], targets, mixed targets, mixup weight)."""
        wav = batch.sig.data.to(self.device)
        target = batch["class"].to(self.device)
        other, weight = target, 1.0
        frozen = self.hparams.freeze_embedding  # then the batch holds embeddings already
        if stage == sb.Stage.TRAIN and self.hparams.augment is not None and not frozen:
            wav = self.hparams.augment(wav)
        features = wav if frozen else self.modules.domain.hear(wav)
        if stage == sb.Stage.TRAIN:
            # Of spectrograms [B, T, F], not of waveforms.
            if self.hparams.spec_augment is not None and features.dim() == 3:
                for augment in self.hparams.spec_augment:
                    features = augment(features)
            if self.hparams.mixup > 0:
                weight = float(torch.distributions.Beta(*[self.hparams.mixup] * 2).sample())
                order = torch.randperm(len(wav), device=self.device)
                features = weight * features + (1 - weight) * features[order]
                other = target[order]
        if frozen:
            logits = self.modules.classifier(features.unsqueeze(1)).squeeze(1)
        else:
            logits, _ = self.network(features)
        return logits.float(), target, other, weight

    def compute_objectives(self, predictions, batch, stage):
        """Mean loss of the batch; keeps the outputs of evaluation batches."""
        logits, target, other, weight = predictions
        loss_function = self.hparams.classification_loss
        loss = weight * loss_function(logits, target)
        if weight < 1:
            loss = loss + (1 - weight) * loss_function(logits, other)
        self.outputs.append((logits.detach(), target))
        return loss

    def on_fit_batch_start(self, batch, should_step):
        set_learning_rate(self)

    def on_stage_start(self, stage, epoch=None):
        self.outputs = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        logits = torch.cat([o for o, _ in self.outputs])
        target = torch.cat([t for _, t in self.outputs])
        probabilities = logits.softmax(1)
        stats = {
            "loss": stage_loss,
            "accuracy": float((logits.argmax(1) == target).float().mean()),
            "confidence": float(probabilities.amax(1).mean()),
        }
        if stage == sb.Stage.TRAIN:
            self.train_stats = stats
        elif stage == sb.Stage.VALID:
            self.hparams.train_logger.log_stats(
                {"epoch": epoch, "lr": self.optimizer.param_groups[0]["lr"]},
                train_stats=self.train_stats,
                valid_stats=stats,
            )
            self.checkpointer.save_and_keep_only(
                meta={"accuracy": stats["accuracy"], "epoch": epoch}, max_keys=["accuracy"]
            )
        else:
            self.test_stats = stats
            self.test_outputs = (logits.cpu(), target.cpu())

    def on_evaluate_start(self, max_key=None, min_key=None):
        super().on_evaluate_start(max_key, min_key)
        self.network = AudioClassifier(self.modules.embedding_model, self.modules.classifier)

    def export(self, folder, info, label_encoder):
        """Write the current weights in SpeechBrain's file layout, with what is known of them."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for part, name in CHECKPOINT_FILES.items():
            torch.save(self.modules[part].state_dict(), folder / name)
        label_encoder.save(folder / LABELS_FILE)
        (folder / "info.json").write_text(json.dumps(info, indent=2) + "\n")
