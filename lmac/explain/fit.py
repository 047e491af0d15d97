"""Train L-MAC's decoder for a network, on recordings without labels."""

import logging
import os
import sys
import time
from functools import partial
from pathlib import Path

from data_prep.recordings import audio_files
from lmac.checkpoints import weights_digest
from lmac.io.provenance import complete
from lmac.settings.compose import HPARAMS
from lmac.settings.load import load_experiment
from lmac.training.brain import explainer_datasets
from lmac.training.lmac import train_decoder

logger = logging.getLogger(__name__)

FIRST = 2  # steps that are timed: the very first is slower than all others


def fit_decoder(explained, recordings, clip_s, facts, settings):
    """Train a decoder by the Brain and the settings of hparams/lmac.yaml; goes on where it was.

    Arguments
    ---------
    explained : lmac.core.explained.ExplainedClassifier
    recordings : path or list of paths
        A folder of audio, or files.
    clip_s : float
        Seconds of the clips that recordings are cut into.
    facts : dict
        What ``info.json`` records besides.
    settings : dict
        Of hparams/lmac.yaml, in place of its own.

    Returns
    -------
    Path
        Of the folder with ``decoder.ckpt`` and ``info.json``, <output_folder>/best.

    Raises ValueError for recordings that cannot be used, and for an ``output_folder`` that holds a
    training of another network or with other settings.
    """
    folder, files = _listed(recordings)
    sizes = ", ".join(map(str, explained.output_sizes()[0])) or "none"
    hparams, run_opts = _open(
        {
            "dataset_yaml": HPARAMS / "datasets" / "recordings.yaml",
            "data_folder": folder,
            "classifier_name": f"network {weights_digest(explained.classifier)}, maps of {sizes}",
            "signal_length_s": clip_s,
            "device": str(next(explained.buffers()).device),
            **settings,
        }
    )
    hparams["prepare_data"] = partial(hparams["prepare_data"], files=files)
    datasets = explainer_datasets(hparams)
    n = len(datasets["train"])
    logger.info("%d clips of %g s to train on, %d to validate", n, clip_s, len(datasets["valid"]))
    hparams["batch_size"] = min(hparams["batch_size"], n)
    timed = _timed(hparams["brain"])
    brain = train_decoder(explained, hparams, run_opts, timed, datasets, **facts)
    complete(hparams, brain.device)
    return Path(hparams["output_folder"]) / "best"


def _listed(recordings):
    """(folder, files in it) of a folder or a list of files."""
    if isinstance(recordings, str | os.PathLike):
        if not os.path.isfile(recordings):
            return Path(recordings), audio_files(recordings, "recordings")
        recordings = [recordings]
    files = [Path(os.path.abspath(file)) for file in recordings]
    if not files:
        raise ValueError("recordings is an empty list: give a folder of audio, or files.")
    return Path(os.path.commonpath([file.parent for file in files])), files


def _open(settings):
    """As the command line does; an exception is still shown as it is afterwards."""
    words = [f"--{key}={_word(value)}" for key, value in settings.items()]
    hook = sys.excepthook  # SpeechBrain's would write it to the log of the training
    try:
        return load_experiment([str(HPARAMS / "lmac.yaml"), *words])
    finally:
        sys.excepthook = hook


def _word(value):
    return (
        "null"
        if value is None
        else f"[{','.join(map(str, value))}]"
        if isinstance(value, list | tuple)
        else value
    )


def _timed(brain_class):
    """A Brain that says after some steps how long the training will take."""

    class Timed(brain_class):
        seconds = ()

        def fit_batch(self, batch):
            start = time.perf_counter()
            loss = super().fit_batch(batch)
            if len(self.seconds) < FIRST:
                self.seconds = (*self.seconds, time.perf_counter() - start)
                if len(self.seconds) == FIRST:
                    self._say()
            return loss

        def _say(self):
            counter = self.hparams.epoch_counter
            epochs = counter.limit - counter.current + 1
            steps = epochs * self.hparams.steps_per_epoch
            minutes = 1.2 * steps * min(self.seconds) / 60  # with the validation
            time_left = f"{minutes:.0f} minutes"
            if minutes < 1.5:
                time_left = f"{max(1, 60 * minutes):.0f} seconds"
            steps = self.hparams.steps_per_epoch
            logger.info(
                "%d epochs of %d steps: about %s on %s", epochs, steps, time_left, self.device
            )

    return Timed
