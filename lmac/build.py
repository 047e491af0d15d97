"""From hyperparameters to the parts that several scripts need."""

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
