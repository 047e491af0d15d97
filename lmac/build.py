"""From hyperparameters to the parts that several scripts need."""

from pathlib import Path

from speechbrain.dataio.encoder import CategoricalEncoder

from lmac.classifiers.base import AudioClassifier, load_classifier
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


def class_names(classifier_checkpoint, expected=None):
    """Class names in the order of the classifier's outputs.

    Arguments
    ---------
    classifier_checkpoint : path
        Its ``label_encoder.txt`` (SpeechBrain's format, published checkpoints have it too) tells
        the order.
    expected : list of str, optional
        Names of the data set: the answer when there is no such file. ValueError when the
        classifier's are others.
    """
    path = Path(classifier_checkpoint) / "label_encoder.txt"
    if not path.is_file():
        if expected is None:
            raise FileNotFoundError(f"There is no {path}, which names the classifier's classes.")
        return expected
    encoder = CategoricalEncoder()
    encoder.expect_len(None)
    encoder.load(path)
    names = [encoder.ind2lab[i] for i in range(len(encoder.ind2lab))]
    if expected is not None and set(names) != set(expected):
        odd = sorted(set(names) ^ set(expected))
        raise ValueError(
            f"{path} and the data set have different classes ({', '.join(odd[:5])}): is this "
            "the classifier of another data set?"
        )
    return names
