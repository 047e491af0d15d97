"""Classifiers: embedding model, head, and the wrapper the rest of the project sees."""

from lmac.classifiers.base import AudioClassifier, CosineHead, EmbeddingModel, LinearHead
from lmac.classifiers.cnn14 import Cnn14
from lmac.classifiers.conv2d import Conv2dEncoder
from lmac.classifiers.network import Network
from lmac.classifiers.wave1d import Wave1d

__all__ = [
    "AudioClassifier",
    "Cnn14",
    "Conv2dEncoder",
    "CosineHead",
    "EmbeddingModel",
    "LinearHead",
    "Network",
    "Wave1d",
]
