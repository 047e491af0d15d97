"""Any PyTorch network as what is explained, without a YAML file of its own."""

import copy
from pathlib import Path

import torch
from torch import nn

from lmac.checkpoints import explained_classifier
from lmac.classifiers.network import Network
from lmac.settings.compose import HPARAMS
from lmac.settings.load import load

# In a network's answers to noise, so many classes in [0, 1] are no accident.
MANY = 10
OF_NETWORK = ("reads", "input_length", "frequency_axis", "outputs", "threshold")


def explain_network(model, sample_rate, labels, layers, settings):
    """The :class:`ExplainedClassifier` of a network, and the interpreters for it.

    Arguments
    ---------
    model : nn.Module
        A copy is explained: it is left as it is.
    sample_rate, labels, layers
        As for ``lmac.Explainer``.
    settings : dict
        OF_NETWORK, of ``lmac.classifiers.Network``; the
        others are those of hparams/explain.yaml.

    Returns
    -------
    (ExplainedClassifier, dict of str to factory)

    Raises ValueError for what is no module, for layers that it does not have, for outputs of
    another shape than [batch, classes], and for outputs that are probabilities already.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"model is of type {type(model).__name__}: expected a torch.nn.Module from waveforms "
            "[batch, samples] to logits [batch, classes]."
        )
    own = {key: settings.pop(key) for key in OF_NETWORK if key in settings}
    network = Network(
        copy.deepcopy(model), sample_rate=sample_rate, layers=layers, labels=labels,
        complete=True, **own,
    )  # fmt: skip
    hparams = of_explain_yaml(network_settings(sample_rate, layers, settings))
    hparams |= {"embedding_model": network, "classifier": nn.Identity()}
    explained = explained_classifier(hparams)
    _require_logits(explained, model)
    return explained, hparams["interpreters"]


def of_explain_yaml(overrides):
    """hparams/explain.yaml without the seed that it sets: that is for commands."""
    only = ("front_end", "decoder", "out_n_neurons")
    return load(HPARAMS / "explain.yaml", overrides, only=only)[0]


def network_settings(sample_rate, layers, settings):
    """Overrides of an experiment in hparams/ for a network that is an object."""
    decoder = "topdown" if layers else "encoder"
    return {
        "classifier_yaml": Path(__file__).with_name("network.yaml"),
        "decoder_yaml": HPARAMS / "decoders" / f"{decoder}.yaml",
        "sample_rate": sample_rate,
        **settings,
    }


def _require_logits(explained, model):
    domain = explained.domain
    n = min(2 * domain.front_end.sample_rate, domain.longest_input or 10**9)
    noise = torch.randn(4, n, generator=torch.Generator().manual_seed(0))
    noise *= torch.tensor([1.0, 0.1, 0.01, 0.0])[:, None]
    name = type(model).__name__
    try:
        X, phase = domain.analyse(noise)
        answer = explained.logits(X.requires_grad_(), phase)
    except (RuntimeError, TypeError, IndexError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{name} cannot take a batch [4, {n}] of what it reads at "
            f"{domain.front_end.sample_rate} Hz ({type(error).__name__}: {reason}): say reads= "
            "(waveform, mel or stft), and input_length= for a network of one length only."
        ) from error
    logits = answer.detach().float()
    if not answer.requires_grad:
        raise ValueError(
            f"{name} answers without a gradient ({str(answer.dtype).removeprefix('torch.')}): take "
            "out no_grad, detach, rounding or argmax, for methods ask how its logits change."
        )
    if not torch.isfinite(logits).all():
        raise ValueError(f"{name} answers noise with NaN or infinity: are its weights loaded?")
    if logits.shape[1] < 2 and explained.outputs == "softmax":
        raise ValueError(
            f'{name} answers with one number: say outputs="sigmoid" where it is the logit of one '
            "label, or give logits of at least two classes."
        )
    if logits.min() >= 0 and logits.max() <= 1:
        to_one = torch.allclose(logits.sum(1), torch.ones(len(logits)), atol=1e-3)
        if to_one or logits.shape[1] >= MANY or _ends_with(answer, "Sigmoid"):
            raise ValueError(
                f"The outputs of {name} lie in [0, 1] already, as after a "
                f"{'softmax' if to_one else 'sigmoid'}: give it without its last step, so that it "
                f"answers with logits{'' if to_one else ', and say outputs=' + repr('sigmoid')}."
            )


def _ends_with(answer, name):
    """Whether one of the last operations that made ``answer`` is called so; views count, too."""
    step = answer.grad_fn
    for _ in range(5):
        if step is None or name in type(step).__name__:
            return step is not None
        step = step.next_functions[0][0] if step.next_functions else None
    return False
