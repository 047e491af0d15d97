"""From hyperparameters to the parts that several scripts need."""

from pathlib import Path

from lmac.classifiers.base import LABELS_FILE, AudioClassifier, load_classifier, read_labels
from lmac.domain import get_domain
from lmac.explained import ExplainedClassifier


def explained_classifier(hparams):
    """The frozen classifier of an experiment, in its domain, with its weights loaded."""
    classifier = AudioClassifier(hparams["embedding_model"], hparams["classifier"])
    load_classifier(classifier, hparams["classifier_checkpoint"])
    return ExplainedClassifier(classifier_domain(hparams, hparams["domain"]), classifier)


def classifier_domain(hparams, name="stft"):
    """The domain called ``name`` of an experiment, as its classifier hears it."""
    model = hparams["embedding_model"]
    return get_domain(
        name,
        hparams["front_end"],
        reads=model.reads,
        hearing=hparams["hearing"],
        input_rate=getattr(model, "sample_rate", None),
        input_length=getattr(model, "input_length", None),
        pad=getattr(model, "pad", True),
    )


def build_decoder(factory, explained):
    """The decoder that ``factory`` makes for the representations the classifier really has."""
    return factory(*explained.dry_pass())


def class_names(classifier_checkpoint, expected, embedding_model=None):
    """Class names in the order of the classifier's outputs.

    Arguments
    ---------
    classifier_checkpoint : path or None
        Its ``label_encoder.txt`` tells the order; without one it is that of ``expected``.
    expected : list of str
        Names of the data set; ValueError when the classifier's are others.
    embedding_model : nn.Module, optional
        A whole classifier that knows its classes has them in ``labels``, and they come first.
    """
    names = getattr(embedding_model, "labels", None)
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
