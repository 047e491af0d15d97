"""Zero-shot classifiers: the classes are prompts that the user types.

Audio and texts are embedded in one space, at unit length, and the logit of a prompt is
``s t_i . f(X)`` (METHOD of LMAC-ZS: Paissan, Della Libera, Ravanelli and Subakan, NeurIPS 2024,
arXiv 2405.17615). A head holds the text side; to everything else the classifier is one with K
classes.
"""

import torch.nn.functional as F
from torch import nn

from lmac.io.prompts import read_prompts


def phrasings(prompt, templates):
    """``prompt`` in every template, where ``{}`` is its place; ValueError for one without."""
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"templates: {template!r}: expected {{}} once, the prompt's place.")
    return [template.replace("{}", prompt) for template in templates]


def require_length(tokenizer, texts, longest):
    """ValueError for a text of more than ``longest`` tokens, which the model would cut."""
    for text in texts:
        tokens = len(tokenizer(text)["input_ids"])
        if tokens > longest:
            shown = text if len(text) <= 60 else text[:57] + "..."
            raise ValueError(
                f"prompts: {shown!r} has {tokens} tokens, and the text model takes {longest}: "
                "shorten it."
            )


class PromptHead(nn.Module):
    """Base class of the heads of zero-shot classifiers.

    Arguments
    ---------
    prompts
        As in :func:`read_prompts`.

    Attributes
    ----------
    prompts : dict of str to str
    labels : list of str
        Their names, in the order of the logits.
    vectors : Tensor [K, D]
        Their embeddings, of unit length: what a decoder is given of a prompt.
    """

    def __init__(self, prompts):
        super().__init__()
        self.prompts = read_prompts(prompts)
        self.labels = list(self.prompts)

    @property
    def vectors(self):
        raise NotImplementedError

    @property
    def scale(self):
        """What cosines are multiplied by, a scalar Tensor."""
        raise NotImplementedError

    def project(self, embedding):
        """Audio embeddings [..., D_audio] to the common space [..., D]."""
        return embedding

    def forward(self, embedding):
        """Embeddings [B, 1, D_audio] to logits [B, 1, K]."""
        audio = F.normalize(self.project(embedding), dim=-1)
        return self.scale * audio @ self.vectors.to(audio.dtype).t()


def normalised_mean(vectors):
    """[K, P, D] to [K, D] of unit length: the mean direction of each prompt's phrasings."""
    return F.normalize(F.normalize(vectors, dim=-1).mean(1), dim=-1)
