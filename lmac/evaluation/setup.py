"""What an evaluation is of: the explained classifier, its classes and the clips of a scenario."""

import hashlib
from functools import cached_property
from pathlib import Path

from data_prep.dataset import prepare
from data_prep.scenarios import scenario_clips
from lmac.checkpoints import class_names, explained_classifier, training_info, weights_digest
from lmac.core.scoring import get_interpreters
from lmac.evaluation.files import public
from lmac.io.processes import device_of


class EvaluationSetup:
    """The parts of an evaluation, made from hyperparameters when they are first needed.

    Weights are loaded before any audio is read, so that a wrong path is known at once.

    Arguments
    ---------
    hparams : dict
        Of ``hparams/evaluation.yaml``.
    run_opts : speechbrain RunOptions
    """

    def __init__(self, hparams, run_opts):
        self.hparams = hparams
        self.run_opts = run_opts
        self.device = device_of(run_opts)
        self.explained = explained_classifier(hparams).to(self.device)
        self.classifier_info = training_info(hparams["classifier_checkpoint"])

    @cached_property
    def interpreters(self):
        """The methods asked for, by name."""
        hparams = self.hparams
        return get_interpreters(hparams["interpreters"], hparams["methods"], self.explained)

    @cached_property
    def _data(self):
        manifest, labels = prepare(self.hparams)
        checkpoint = self.hparams["classifier_checkpoint"]
        return manifest, class_names(checkpoint, labels, self.explained.classifier)

    @property
    def manifest(self):
        """The data set's clips, a row each."""
        return self._data[0]

    @property
    def labels(self):
        """Class names, in the order of the classifier's outputs."""
        return self._data[1]

    @cached_property
    def _clips(self):
        manifest, labels = self._data
        trained = {"classifier_checkpoint": self.classifier_info}
        trained |= {i.key: i.training for i in self.interpreters.values() if i.training is not None}
        return scenario_clips(self.hparams, manifest, labels, trained)

    @property
    def scenario(self):
        """The scenario manifest, a row per clip."""
        return self._clips[0]

    @property
    def dataset(self):
        """The clips with their audio."""
        return self._clips[1]

    @property
    def shared(self):
        """What all rows of this evaluation share, as a dict."""
        manifest = Path(self.hparams["scenario_manifest"]).read_bytes()
        precision = getattr(self.run_opts, "eval_precision", None) or "fp32"
        crop = self.hparams.get("crop", "start")
        return {
            "scenario": self.hparams["scenario"],
            "domain": self.explained.domain.description,
            "manifest": hashlib.sha256(manifest).hexdigest()[:12],
            "classifier": weights_digest(self.explained.classifier),
            "signal_length_s": self.hparams["signal_length_s"],
            **({} if crop == "start" else {"crop": crop}),
            **({} if precision == "fp32" else {"precision": precision}),
        }

    @property
    def methods(self):
        """Of every method its description and, where it was trained, how."""
        notes = {}
        for name, interpreter in self.interpreters.items():
            notes[name] = {"description": interpreter.description}
            if interpreter.training is not None:
                notes[name]["trained"] = public(interpreter.training)
        return notes
