"""Spectrograms that carry the phase of their recording.

A classifier that hears waveforms needs the phase of the input beside the masked magnitude.
Interpreters repeat, slice and concatenate batches in orders of their own (Captum's Integrated
Gradients in the order of its steps, its NoiseTunnel clip by clip), so a phase kept anywhere else
could meet the wrong clip. Here it travels with the values through the few operations that are
known to keep clips and phases together. Whatever any other operation makes is a plain tensor,
which has no phase and is refused where one is needed: a wrong pairing cannot come about.
"""

import torch

# The result's clip i, frame t and bin f come from those of the argument.
_ARITHMETIC = {
    *("mul", "rmul", "add", "radd", "sub", "rsub", "div", "truediv", "neg", "multiply", "divide"),
    *("clamp", "clamp_min", "clamp_max", "clip"),
    *("subtract", "true_divide", "mul_", "add_", "sub_", "div_", "neg_", "imul", "iadd", "isub"),
}
_CONVERSIONS = {
    *("clone", "detach", "detach_", "requires_grad_", "contiguous", "to", "type", "type_as"),
    *("float", "double", "half", "bfloat16", "cpu", "cuda"),
}


class Phased(torch.Tensor):
    """``X`` [B, T, F] with the phase of each clip; made by :func:`with_spectrum`.

    Attributes
    ----------
    spectrum : Tensor, complex [B, T, n_bins]
        STFT of the recording, of which only the phase is used.
    n_samples : int
        Length of the recording.
    """

    spectrum = None
    n_samples = None

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            out = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        name = name.strip("_") if name.startswith("__") else name
        if isinstance(out, Phased) and name not in _ARITHMETIC | _CONVERSIONS:
            out.spectrum = None  # the same object was changed in some other way: copy_, zero_, ...
            return out
        if name == "setitem" or (name == "set" and func.__self__.__name__ == "data"):
            args[0].spectrum = None
            return out
        if name in ("split", "chunk", "tensor_split"):
            return _split(func, out, args, kwargs)
        found = _carried(name, out, args, kwargs) if isinstance(out, torch.Tensor) else None
        if isinstance(out, Phased):
            out.spectrum, out.n_samples = found or (None, None)
            return out
        return with_spectrum(out, *found) if found else out


def with_spectrum(X, spectrum, n_samples):
    """``X`` [B, T, F], carrying the STFT [B, T, n_bins] of a recording of ``n_samples``."""
    X = X.as_subclass(Phased)
    X.spectrum, X.n_samples = spectrum, n_samples
    return X


def values(X):
    """``X`` as a plain tensor."""
    return X.as_subclass(torch.Tensor)


def _carried(name, out, args, kwargs):
    """(spectrum, n_samples) of the result of an operation, or None when it has none."""
    found = None
    if out.dim() != 3:
        return None
    if name in _ROWS:
        first = args[0] if isinstance(args[0], torch.Tensor) else args[0][0]
        found = _ROWS[name](*args, **kwargs) if first.shape[1:] == out.shape[1:] else None
    elif name in _ARITHMETIC:
        found = _common([*args, *kwargs.values()], out)
    elif name in _CONVERSIONS:
        found = _common(args[:1], out)
    if found is None or len(found[0]) != len(out) or found[0].shape[1] != out.shape[1]:
        return None
    return found


def _common(arguments, out):
    """What the arguments of an elementwise operation carry, if it is the same for all."""
    carriers = [a for a in arguments if getattr(a, "spectrum", None) is not None]
    # Two recordings in one expression: no phase would be right for both.
    if not carriers or any(c.spectrum is not carriers[0].spectrum for c in carriers):
        return None
    spectrum, n_samples = carriers[0].spectrum, carriers[0].n_samples
    if carriers[0].shape[1:] != out.shape[1:]:
        return None
    if len(spectrum) == 1 < len(out):  # one clip under many masks
        spectrum = spectrum.expand(len(out), -1, -1)
    return spectrum, n_samples


def _cat(tensors, dim=0):
    """Concatenation of batches; the clips must all have a phase, and one length."""
    lengths = {getattr(t, "n_samples", None) for t in tensors}
    phased = all(getattr(t, "spectrum", None) is not None for t in tensors)
    if dim != 0 or len(lengths) != 1 or not phased:
        return None
    return torch.cat([t.spectrum for t in tensors]), lengths.pop()


def _getitem(X, index):
    """A slice, a list or a vector that picks clips; anything else loses the phase."""
    picks = isinstance(index, (slice, list)) or (
        isinstance(index, torch.Tensor) and index.dim() == 1
    )
    if X.spectrum is None or not picks:
        return None
    return X.spectrum[index], X.n_samples


def _repeat_interleave(X, repeats, dim=None, **_):
    if X.spectrum is None or dim != 0:
        return None
    return X.spectrum.repeat_interleave(repeats, 0), X.n_samples


def _repeat(X, *sizes):
    sizes = sizes[0] if len(sizes) == 1 else sizes
    if X.spectrum is None or len(sizes) != 3 or tuple(sizes[1:]) != (1, 1):
        return None
    return X.spectrum.repeat(*sizes), X.n_samples


def _expand(X, *sizes):
    sizes = sizes[0] if len(sizes) == 1 else sizes
    if X.spectrum is None:
        return None
    return X.spectrum.expand(sizes[0], -1, -1), X.n_samples


_ROWS = {
    "cat": _cat,
    "concat": _cat,
    "getitem": _getitem,
    "repeat_interleave": _repeat_interleave,
    "repeat": _repeat,
    "expand": _expand,
}


def _split(func, pieces, args, kwargs):
    """Pieces of the batch with their phases, where it was the batch that was split."""
    X, dim = args[0], kwargs.get("dim", args[2] if len(args) > 2 else 0)
    if X.spectrum is None or dim != 0:
        return pieces
    phases = X.spectrum.split([len(p) for p in pieces])
    return type(pieces)(
        with_spectrum(p, q, X.n_samples) for p, q in zip(pieces, phases, strict=True)
    )
