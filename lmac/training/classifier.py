"""Training an audio classifier."""

import speechbrain as sb
import torch

from lmac.checkpoints import CHECKPOINT_FILES, LABELS_FILE
from lmac.classifiers.base import AudioClassifier
from lmac.io.processes import gather
from lmac.training.brain import TrainingBrain


class ClassifierBrain(TrainingBrain):
    """Trains ``modules.embedding_model`` and ``modules.classifier`` on waveform batches.

    ``hparams`` beside SpeechBrain's: ``domain`` (to features), ``augment`` (waveforms),
    ``spec_augment`` (features, not waveforms), ``mixup`` (Beta parameter, 0 for none),
    ``classification_loss`` (outputs, targets), what ``TrainingBrain`` needs, and
    ``freeze_embedding``: whether batches hold embeddings [B, D] in the place of waveforms
    (``lmac.training.embeddings``) and only the head is trained, without augmentation but mixup.
    """

    best_key, best_is = "accuracy", "max"
    stage_sums = ("outputs",)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # Which checks them, and lays out their weights as they are fastest.
        AudioClassifier(self.modules.embedding_model, self.modules.classifier)

    def compute_forward(self, batch, stage):
        """Batch to (logits [B, K], targets, mixed targets, mixup weight)."""
        wav = batch.sig.data.to(self.device)
        target = batch["class"].to(self.device)
        other, weight = target, 1.0
        frozen = self.hparams.freeze_embedding  # then the batch holds embeddings already
        if stage == sb.Stage.TRAIN and self.hparams.augment is not None and not frozen:
            wav, _ = self.hparams.augment(wav)
        features = wav if frozen else self.modules.domain.features(wav)
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
        embedding = features.unsqueeze(1)
        if not frozen:
            embedding, _ = self.module("embedding_model", stage)(features)
        logits = self.module("classifier", stage)(embedding).squeeze(1)
        return logits.float(), target, other, weight

    def compute_objectives(self, predictions, batch, stage):
        """Mean loss of the batch; keeps the outputs of evaluation batches."""
        logits, target, other, weight = predictions
        loss_function = self.hparams.classification_loss
        loss = weight * loss_function(logits, target)
        if weight < 1:
            loss = loss + (1 - weight) * loss_function(logits, other)
        self.outputs.append((logits.detach().cpu(), target.cpu(), float(loss.detach())))
        return loss

    def on_stage_start(self, stage, epoch=None):
        self.outputs = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        outputs = gather(self.outputs)
        logits, target = (torch.cat([o[i] for o in outputs]) for i in (0, 1))
        probabilities = logits.softmax(1)
        stats = {
            "loss": sum(loss * len(own) for _, own, loss in outputs) / len(target),
            "accuracy": float((logits.argmax(1) == target).float().mean()),
            "confidence": float(probabilities.amax(1).mean()),
        }
        self.finish_stage(stage, stats, epoch)
        if stage == sb.Stage.TEST:
            self.test_outputs = (logits, target)

    def export(self, folder, info, label_encoder):
        """Write the current weights in SpeechBrain's file layout, with what is known of them."""
        labels = {LABELS_FILE: lambda file: label_encoder.save(file.name)}
        self.export_weights(folder, CHECKPOINT_FILES, info, labels)
