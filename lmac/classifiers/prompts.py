"""Zero-shot classifiers: the classes are prompts that the user types.

Audio and texts are embedded in one space, at unit length, and the logit of a prompt is
``s t_i . f(X)`` (METHOD of LMAC-ZS: Paissan, Della Libera, Ravanelli and Subakan, NeurIPS 2024,
arXiv 2405.17615). A head holds the text side; to everything else the classifier is one with K
classes.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import nn

EXAMPLE = '--prompts="a dog barking, rain falling"'


def read_prompts(prompts):
    """What a user gave as ``prompts``, as a dict of name to prompt in the order of the logits.

    Arguments
    ---------
    prompts : str, list of str, or dict of str to str
        Separated by commas; or a list; or with names, those of a data set's classes. Without
        names, prompts are their own.

    Raises ValueError for none, one alone, an empty one, one that is there twice (whatever its
    case and spaces) and one that is no text.
    """
    if isinstance(prompts, str):
        prompts = prompts.split(",")
    named = isinstance(prompts, Mapping)
    if not prompts or not isinstance(prompts, list | tuple | Mapping):
        raise ValueError(f"prompts: there are none ({prompts!r}): give at least two, {EXAMPLE}.")
    pairs = list(prompts.items() if named else zip(prompts, prompts, strict=True))
    for name, text in pairs:
        if not isinstance(text, str):
            raise ValueError(f"prompts: {text!r} ({name}) is a {type(text).__name__}, not a text.")
        if not text.strip():
            raise ValueError(
                f"prompts: number {pairs.index((name, text)) + 1} is empty: {EXAMPLE}."
            )
    read = {str(name).strip() if named else _tidy(text): _tidy(text) for name, text in pairs}
    seen = set()
    for _, text in pairs:
        if _tidy(text).casefold() in seen:
            raise ValueError(f"prompts: {_tidy(text)!r} is there twice: give each prompt once.")
        seen.add(_tidy(text).casefold())
    if len(read) < 2:
        raise ValueError(
            f"prompts: {next(iter(read.values()))!r} is the only one, and the probability of a "
            f"prompt is its share among all: give at least two, {EXAMPLE}."
        )
    return read


def _tidy(text):
    return " ".join(text.split())


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
        Their embeddings, of unit length: what a decoder is told of a prompt.
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
