"""From hyperparameters to the parts that several scripts need."""

from pathlib import Path

from lmac.classifiers.base import LABELS_FILE, AudioClassifier, load_classifier, read_labels
from lmac.domain import get_domain
from lmac.explained import ExplainedClassifier


def explained_classifier(hparams):
    """The frozen classifier of an experiment, in its domain, with its weights loaded."""
    classifier = AudioClassifier(hparams["embedding_model"], hparams["classifier"])
    load_classifier(classifier, hparams["classifier_checkpoint"])
    domain = get_domain(hparams["domain"], hparams["front_end"], reads=classifier.reads)
    return ExplainedClassifier(domain, classifier)


def build_decoder(factory, explained):
    """The decoder that ``factory`` makes for the representations the classifier really has."""
    return factory(*explained.dry_pass())


def class_names(classifier_checkpoint, expected):
    """Class names in the order of the classifier's outputs.

    Arguments
    ---------
    classifier_checkpoint : path
        Its ``label_encoder.txt`` tells the order; without one it is that of ``expected``.
    expected : list of str
        Names of the data set; ValueError when the classifier's are others.
    """
    path = Path(classifier_checkpoint) / LABELS_FILE
    if not path.is_file():
        return expected
    names = read_labels(classifier_checkpoint)
    if set(names) != set(expected):
        odd = sorted(set(names) ^ set(expected))
        raise ValueError(
            f"{path} and the data set have different classes ({', '.join(odd[:5])}): is this "
            "the classifier of another data set?"
        )
    return names
