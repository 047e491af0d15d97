"""The classifier as every interpreter sees it: features in, logits and representations out."""

from pathlib import Path

import torch
from speechbrain.dataio.encoder import CategoricalEncoder
from torch import nn

# Names of the files in a SpeechBrain classifier folder, published ones included.
CHECKPOINT_FILES = {"embedding_model": "embedding_model.ckpt", "classifier": "classifier.ckpt"}
LABELS_FILE = "label_encoder.txt"


class LinearHead(nn.Linear):
    """Linear classification head: embedding [..., input_size] to logits [..., out_neurons]."""

    def __init__(self, input_size, out_neurons):
        super().__init__(input_size, out_neurons)


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
        It came with its weights, and its embedding is the logits: nothing is loaded.
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

    def forward(self, features):
        """Features [B, T, F] to (logits [B, K], representations)."""
        embedding, representations = self.embedding_model(features)
        return self.classifier(embedding).squeeze(1), representations


def read_weights(path, what):
    """A state dict, safely (no pickled code is run).

    Raises FileNotFoundError when ``path`` is missing and ValueError when the file is not a
    state dict; each names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No {what} weights at {path}: train it first, or give its path.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is not a readable PyTorch state dict ({what}).") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, expected a state dict ({what}).")
    return state


def load_weights(module, path, what):
    """Load a state dict into ``module``.

    Raises what ``read_weights`` raises, and ValueError when the file is not a state dict of this
    architecture; it names the first differing entries.
    """
    state = read_weights(path, what)
    own = module.state_dict()
    problems = [f"missing {k}" for k in own if k not in state]
    problems += [f"unexpected {k}" for k in state if k not in own]
    problems += [
        f"{k} has shape {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"{path} is a checkpoint of another architecture than the {what} in the YAML: "
            f"{'; '.join(problems[:3])}{more}."
        )
    module.load_state_dict(state)
    return module


def load_classifier(classifier, folder):
    """Load a folder with ``embedding_model.ckpt`` and ``classifier.ckpt`` (SpeechBrain's names).

    A classifier that came with its weights is left as it is.
    """
    if classifier.embedding_model.complete:
        return classifier
    if folder is None:
        raise ValueError(
            "classifier_checkpoint is not set: add --classifier_checkpoint=…, the folder "
            "<output_folder>/best of train_classifier.py, or one with "
            f"{' and '.join(CHECKPOINT_FILES.values())}."
        )
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"classifier_checkpoint: no folder {folder}; expected the folder that holds "
            f"{' and '.join(CHECKPOINT_FILES.values())}, such as <output_folder>/best."
        )
    for part, name in CHECKPOINT_FILES.items():
        load_weights(getattr(classifier, part), folder / name, part)
    return classifier


def read_labels(folder):
    """Class names, in the order of the classifier's outputs, from ``label_encoder.txt``.

    SpeechBrain's ``CategoricalEncoder`` wrote it into ``folder``, beside the weights. Raises
    FileNotFoundError when it is missing and ValueError when it does not number the names from 0.
    """
    path = Path(folder) / LABELS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"classifier_checkpoint: there is no {path}, the file with the class names; give the "
            "folder <output_folder>/best of train_classifier.py, or a published one with it."
        )
    try:
        names = CategoricalEncoder.from_saved(path).ind2lab
    except (ValueError, SyntaxError, KeyError) as error:
        raise ValueError(
            f"{path} is not a SpeechBrain label encoder: expected lines like 'dog' => 0, then one "
            "of = signs and 'starting_index' => 0."
        ) from error
    if not names or sorted(names) != list(range(len(names))):
        raise ValueError(f"{path} must number its classes 0, 1, 2 …, got {sorted(names)}.")
    return [str(names[i]) for i in range(len(names))]


def count_labels(folder):
    """Number of classes in ``label_encoder.txt``: ``out_n_neurons`` where there is no data set.

    0 without a folder, for classifiers that came with their weights.
    """
    return 0 if folder is None else len(read_labels(folder))
