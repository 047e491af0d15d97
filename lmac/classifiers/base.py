"""The classifier as every interpreter sees it: features in, logits and representations out."""

import torch
from speechbrain.lobes.models.ECAPA_TDNN import Classifier
from torch import nn

from lmac.classifiers.prompts import PromptHead


class LinearHead(nn.Linear):
    """Linear classification head: embedding [..., input_size] to logits [..., out_neurons]."""

    def __init__(self, input_size, out_neurons):
        super().__init__(input_size, out_neurons)


class CosineHead(Classifier):
    """Cosine head of the published Conv2d, FocalNet and ViT: SpeechBrain's own, times ``scale``.

    Cosines lie in [-1, 1], so the softmax of 50 of them gives no class more than 0.13: with a scale
    of 1, as published, the classifier is hardly confident, whatever it decides.

    Arguments
    ---------
    input_size, out_neurons : int
    lin_blocks : int
        Linear blocks before the cosines; 1 is published.
    scale : float
        Cosines are multiplied by it.
    """

    def __init__(self, input_size, out_neurons, lin_blocks=1, scale=1.0):
        super().__init__(input_size, lin_blocks=lin_blocks, out_neurons=out_neurons)
        self.scale = scale

    def forward(self, x):
        """Embedding [B, 1, D] to scaled cosines [B, 1, K]."""
        return self.scale * super().forward(x)


class EmbeddingModel(nn.Module):
    """Base class of embedding models: what the rest of the project asks of one, with defaults.

    ``forward`` takes what ``reads`` says, features [B, T, F] or waveforms [B, L], to (embedding
    [B, 1, D], representations): a list of maps [B, C, T', F'], finest first, with sizes of 1 for
    axes that they do not have. A subclass sets what differs from the defaults, on the class or
    on the object.

    Attributes
    ----------
    reads : str
        ``"mel"``, ``"stft"`` (of the front end in the YAML) or ``"waveform"``; no default.
    min_frames : int
        The least number of frames T that it takes.
    sample_rate : int or None
        Hz, of waveforms; None for that of the front end.
    input_length : int or None
        Samples at that rate, for a model that takes one length only.
    pad : bool
        Whether waveforms are zero-padded to ``input_length`` for it; False if it does so itself.
    complete : bool
        It came with its weights, and its head has none or brings them: nothing is loaded.
    outputs : str
        What its logits mean: ``"softmax"`` for one of K classes, or ``"sigmoid"`` for K labels of
        which any number is there.
    threshold : float
        With sigmoid outputs, the probability from which a label is there.
    labels : list of str or None
        Class names in the order of the logits, of a complete model that knows them.
    frequency_axis : str or None
        What F' of its maps counts, ``"mel"`` or ``"linear"``, from 0 Hz to half the sample rate.
        None: that of the features it reads. A model that reads waveforms and whose maps have such
        an axis has to say it for GradCAM, which would not know where on X to put them.
    """

    reads = None
    min_frames = 1
    sample_rate = None
    input_length = None
    pad = True
    complete = False
    outputs = "softmax"
    threshold = 0.5
    labels = None
    frequency_axis = None

    def load_pretrained(self):
        """Load published weights where the model has any; whether it has."""
        return False


def require_embedding_model(model):
    """``model``; ValueError when it is no :class:`EmbeddingModel`."""
    if isinstance(model, EmbeddingModel):
        return model
    raise ValueError(
        f"embedding_model is a {type(model).__name__}: derive it from "
        "lmac.classifiers.EmbeddingModel, which lists what it has to say of itself (reads, …), or "
        "put a network that answers with logits into lmac.classifiers.Network."
    )


class AudioClassifier(nn.Module):
    """An embedding model and a head.

    Arguments
    ---------
    embedding_model : EmbeddingModel
        ValueError for another module.
    classifier : nn.Module
        Embedding [B, 1, D] to outputs [B, 1, K].
    """

    def __init__(self, embedding_model, classifier):
        super().__init__()
        self.embedding_model = require_embedding_model(embedding_model)
        self.classifier = classifier
        # On CPUs a third faster, forward and backward; the values are the same.
        self.to(memory_format=torch.channels_last)

    @property
    def reads(self):
        """``"mel"``, ``"stft"`` or ``"waveform"``: the input of the embedding model."""
        return self.embedding_model.reads

    @property
    def min_frames(self):
        """The least number of frames T that the embedding model takes."""
        return self.embedding_model.min_frames

    @property
    def outputs(self):
        """``"softmax"`` or ``"sigmoid"``."""
        return self.embedding_model.outputs

    @property
    def threshold(self):
        """From which p a label is there, of sigmoid outputs; None where the largest p decides."""
        return self.embedding_model.threshold if self.outputs == "sigmoid" else None

    @property
    def labels(self):
        """Class names in the order of the logits where the classifier knows them, else None."""
        head = self.classifier
        return head.labels if isinstance(head, PromptHead) else self.embedding_model.labels

    @property
    def prompt_vectors(self):
        """Embeddings [K, D] of a zero-shot classifier's prompts, None for one of fixed classes."""
        return self.classifier.vectors if isinstance(self.classifier, PromptHead) else None

    def forward(self, features):
        """Features [B, T, F] to (logits [B, K], representations); ``features`` stay as they are."""
        # A copy: they may be X itself, and a network may work in place.
        embedding, representations = self.embedding_model(features.clone())
        return self.classifier(embedding).squeeze(1), representations
