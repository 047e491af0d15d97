"""From hyperparameters to the parts that several scripts need."""

import hashlib
from pathlib import Path

from data_prep.leaks import training_info
from lmac.classifiers.base import (
    LABELS_FILE,
    AudioClassifier,
    load_classifier,
    load_weights,
    read_labels,
    require_embedding_model,
)
from lmac.decoder import Decoder
from lmac.domain import get_domain
from lmac.explained import ExplainedClassifier

DECODER_FILE = "decoder.ckpt"


def explained_classifier(hparams):
    """The frozen classifier of an experiment, in its domain, with its weights loaded."""
    classifier = AudioClassifier(hparams["embedding_model"], hparams["classifier"])
    load_classifier(classifier, hparams["classifier_checkpoint"])
    return ExplainedClassifier(classifier_domain(hparams, hparams["domain"]), classifier)


def classifier_domain(hparams, name="stft"):
    """The domain called ``name`` of an experiment, for its classifier."""
    model = require_embedding_model(hparams["embedding_model"])
    return get_domain(
        name,
        hparams["front_end"],
        reads=model.reads,
        signal_path=hparams["signal_path"],
        input_rate=model.sample_rate,
        input_length=model.input_length,
        pad=model.pad,
        frequency_axis=model.frequency_axis,
    )


def build_decoder(factory, explained):
    """The decoder that ``factory`` makes for the representations the classifier really has.

    ValueError when that is no ``lmac.decoder.Decoder``.
    """
    decoder = factory(*explained.output_sizes())
    if not isinstance(decoder, Decoder):
        raise ValueError(
            f"decoder makes a {type(decoder).__name__}: derive it from lmac.decoder.Decoder, whose "
            "file says how a decoder is built and called."
        )
    return decoder


def weights_file(checkpoint, name, key, script):
    """The file of trained weights: ``checkpoint`` itself, or ``name`` in that folder.

    ValueError when ``checkpoint`` is None, FileNotFoundError when it is not there; both name
    ``key``, the setting that it comes from, the latter also the ``script`` that trains it.
    """
    if checkpoint is None:
        raise ValueError(f"{key} is not set: give the folder <output_folder>/best.")
    path = Path(checkpoint)
    path = path / name if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"{key}: there is no {path}; train it with {script}, or give the folder "
            "<output_folder>/best of a finished run."
        )
    return path


def decoder_file(checkpoint, key):
    """The file of an L-MAC decoder's weights; see ``weights_file``."""
    return weights_file(checkpoint, DECODER_FILE, key, "train_lmac.py")


def load_decoder(decoder, explained, path, key):
    """Load the weights at ``path`` into ``decoder``; ValueError when they are not its own.

    Weights of another architecture are refused, and, where ``info.json`` lies beside them, those
    of another domain or another classifier: the shapes alone would not tell.
    """
    load_weights(decoder, path, "L-MAC decoder")
    known = training_info(path.parent)
    here = {
        "domain": explained.domain.name,
        "classifier_weights": weights_digest(explained.classifier),
    }
    for what, value in here.items():
        if known.get(what, value) != value:
            raise ValueError(
                f"{key}: {path} was trained for {what} {known[what]}, not for {value}: give the "
                "decoder that belongs to --classifier_checkpoint and --domain."
            )
    return decoder


def trainings(hparams):
    """What is recorded of the weights that an evaluation names: setting to ``info.json``.

    Settings that are None are left out, {} stands for weights without ``info.json``.
    """
    named = {key: value for key, value in hparams.items() if key.endswith("_checkpoint")}
    return {key: training_info(value) for key, value in named.items() if value}


def weights_digest(module):
    """Twelve hexadecimal digits that identify the weights of ``module``."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def class_names(classifier_checkpoint, expected, embedding_model=None):
    """Class names in the order of the classifier's outputs.

    Arguments
    ---------
    classifier_checkpoint : path or None
        Its ``label_encoder.txt`` tells the order; without one it is that of ``expected``.
    expected : list of str
        Names of the data set; ValueError when the classifier's are others.
    embedding_model : EmbeddingModel, optional
        A whole classifier that knows its classes has them in ``labels``, and they come first.
    """
    names = None if embedding_model is None else embedding_model.labels
    source = "The classifier"
    if names is None:
        source = Path(classifier_checkpoint or "") / LABELS_FILE
        if classifier_checkpoint is None or not source.is_file():
            return expected
        names = read_labels(classifier_checkpoint)
    if set(names) != set(expected):
        odd = sorted(set(names) ^ set(expected))
        raise ValueError(
            f"{source} and the data set have different classes ({', '.join(odd[:5])}): is this "
            "the classifier of another data set?"
        )
    return names
