"""L-MAC: Listenable Maps for Audio Classifiers (Paissan, Ravanelli, Subakan, ICML 2024).

import lmac

explainer = lmac.Explainer(model, sample_rate=32000, labels=labels, layers=["features.14"])
explainer("dog.wav", method="GradCAM").save("out/")
"""

import importlib

__version__ = "0.1.0"
# What a user needs, by the module that has it: imported when it is asked for, for torch takes
# seconds.
_PUBLIC = {
    "Explainer": "lmac.explain.explainer",
    "Explanation": "lmac.explain.explanation",
}
__all__ = [*_PUBLIC]


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'lmac' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_PUBLIC])
