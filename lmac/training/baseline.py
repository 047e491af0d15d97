"""What trainings of the methods to compare with share: L2I and PIQ.

A new one is a file with its loss, a :class:`BaselineBrain` and a ``main``.
"""

from pathlib import Path

import speechbrain as sb

from lmac.checkpoints import explained_facts, training_facts
from lmac.io.processes import gather
from lmac.io.provenance import complete
from lmac.training.brain import TrainingBrain, train_explainer


class BaselineBrain(TrainingBrain):
    """Trains one network; the classifier is no module of the Brain and stays frozen.

    Arguments
    ---------
    explained : lmac.core.explained.ExplainedClassifier
    **kwargs
        Of ``speechbrain.Brain``. ``hparams`` beside SpeechBrain's: ``augment`` (waveforms) and
        what ``TrainingBrain`` needs.
    """

    name, file = "", ""  # of the module, and of its weights
    stage_sums = ("sums",)

    def __init__(self, explained, **kwargs):
        super().__init__(**kwargs)
        self.explained = explained.to(self.device)

    def waves(self, batch, stage):
        """The batch's waveforms [B, L], in training augmented."""
        wav = batch.sig.data.to(self.device)
        if stage == sb.Stage.TRAIN and self.hparams.augment is not None:
            wav, _ = self.hparams.augment(wav)
        return wav

    def on_stage_start(self, stage, epoch=None):
        self.sums = []

    def add(self, clips, means, **sums):
        """Keep statistics of a batch: ``means`` over its clips (dict), and sums."""
        kept = {name: float(value) * clips for name, value in means.items()}
        self.sums.append({"clips": clips, **kept, **{k: float(v) for k, v in sums.items()}})

    def on_stage_end(self, stage, stage_loss, epoch=None):
        batches = gather(self.sums)
        sums = {key: sum(batch[key] for batch in batches) for key in batches[0]}
        self.finish_stage(stage, self.statistics(sums, sums.pop("clips")), epoch)

    def statistics(self, sums, clips):
        """Name to value, from the sums over ``clips`` clips."""
        return {key: value / clips for key, value in sums.items()}


def require_softmax(explained, method):
    """ValueError for a classifier of several labels at once, which ``method`` is not for."""
    if explained.outputs != "softmax":
        raise ValueError(
            f"{method} is for classifiers of one class (softmax), not for {explained.outputs} "
            "outputs: take L-MAC, or a method that needs no training."
        )


def train_baseline(brain_class, explained, network, datasets, hparams, run_opts, keys, **facts):
    """Train ``network`` and write it to ``<output_folder>/best``, where something is exported.

    Arguments
    ---------
    brain_class : type
        A BaselineBrain.
    explained : lmac.core.explained.ExplainedClassifier
    network : nn.Module
    datasets, hparams, run_opts
        As of ``train_explainer``.
    keys : iterable of str
        Settings that ``info.json`` records.
    **facts
        What it records besides.

    Returns
    -------
    Statistics of the selected checkpoint on the validation folds, and the folder; None in other
    processes than the main one, and of a debugging run.
    """
    modules = {brain_class.name: network}
    brain = train_explainer(brain_class, explained, modules, datasets, hparams, run_opts)
    if not (sb.utils.distributed.if_main_process() and brain.exports):
        return None
    info = training_facts(hparams, explained.domain, *keys) | explained_facts(explained)
    info |= {"epochs": brain.epochs_done, **facts}
    info["valid"] = {"folds": hparams["valid_folds"], **brain.test_stats}
    best = Path(hparams["output_folder"]) / "best"
    brain.export_weights(best, {brain_class.name: brain_class.file}, info)
    complete(hparams, brain.device)
    return brain.test_stats, best
