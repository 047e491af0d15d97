"""The classifier as every interpreter sees it: features in, logits and representations out."""

import torch
from torch import nn


class LinearHead(nn.Linear):
    """Linear classification head: embedding [..., input_size] to logits [..., out_neurons]."""

    def __init__(self, input_size, out_neurons):
        super().__init__(input_size, out_neurons)


class AudioClassifier(nn.Module):
    """An embedding model and a head.

    Arguments
    ---------
    embedding_model : nn.Module
        Features [B, T, F] to (embedding [B, 1, D], representations): a list of maps
        [B, C, T', F'], finest first. Its attribute ``reads`` names its features, its optional
        ``min_frames`` is the least T that it takes. One that reads waveforms [B, L] may say its
        ``sample_rate`` and, if it takes one length only, that ``input_length``, and ``pad`` False
        if it pads shorter input by itself. One that is ``complete`` came with its weights, and
        its embedding is the logits.
    classifier : nn.Module
        Embedding [B, 1, D] to outputs [B, 1, K].
    """

    def __init__(self, embedding_model, classifier):
        super().__init__()
        self.embedding_model = embedding_model
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
        return getattr(self.embedding_model, "min_frames", 1)

    def forward(self, features):
        """Features [B, T, F] to (logits [B, K], representations)."""
        embedding, representations = self.embedding_model(features)
        return self.classifier(embedding).squeeze(1), representations
