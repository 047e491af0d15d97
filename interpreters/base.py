"""The one interface of all explanation methods."""

from abc import ABC, abstractmethod


class Interpreter(ABC):
    """Explains a decision with a mask.

    Arguments
    ---------
    explained : lmac.explained.ExplainedClassifier
        The frozen classifier in its domain; left as it was after every call.
    **options
        What distinguishes this interpreter's results, kept as ``self.options``.
    """

    def __init__(self, explained, **options):
        self.explained = explained
        self.options = options

    @abstractmethod
    def explain(self, X, target):
        """``X`` [B, T, F] and classes [B] to masks in [0, 1] with the shape of ``X``."""

    def reset(self, seed):
        """Start the method's random numbers anew; nothing to do where it has none."""
        return None

    @property
    def description(self):
        """Class and options: results of equal descriptions are interchangeable."""
        options = ", ".join(f"{k}={v}" for k, v in self.options.items())
        return f"{type(self).__name__}({options})"


def normalise(attribution):
    """Attribution [B, ...] to a mask: absolute value over its maximum in each sample.

    A sample without any attribution gets a mask of zeros.
    """
    magnitude = attribution.detach().abs()
    peak = magnitude.flatten(1).amax(1).clamp_min(1e-30)
    return magnitude / peak.view(-1, *[1] * (magnitude.dim() - 1))


def get_interpreters(available, names, explained):
    """Build the interpreters called ``names``.

    Arguments
    ---------
    available : dict
        Name to factory, called with ``explained``: the ``interpreters`` of a YAML.
    names : list of str
        Which of them; ValueError with the valid names for an unknown one.
    """
    unknown = [n for n in names if n not in available]
    if unknown:
        raise ValueError(
            f"methods: unknown interpreter {', '.join(map(repr, unknown))}; "
            f"expected some of {', '.join(available)}."
        )
    return {name: available[name](explained) for name in names}
