"""Representations from named layers of any network, by forward hooks that live for one call."""

import difflib

_AXES = [sorted(f"BC{rest}") for rest in ("", "T", "F", "TF")]
# Axes of a layer's output where none are given, by their number: convolutions over time and
# frequency, convolutions over time, vectors.
DEFAULT_AXES = {4: "BCTF", 3: "BCT", 2: "BC"}


class LayerTap:
    """Collects the outputs of layers while a network runs.

    Arguments
    ---------
    network : nn.Module
    layers : list of str, or dict of str to str
        Names as in ``network.named_modules()``, finest first. A dictionary also gives the axes of
        each output, in letters: B batch, C channels, T time, F frequency; ``BCTF``, ``BCFT``,
        ``BCT`` (1-D convolutions) or ``BTC`` (tokens of transformers). By default outputs with
        four axes are BCTF, with three BCT, with two BC.

    Raises ValueError for a name that the network does not have, and lists those it has.
    """

    def __init__(self, network, layers=()):
        self.axes = dict(layers) if isinstance(layers, dict) else dict.fromkeys(layers or ())
        self.modules = dict(network.named_modules())
        names = [n for n in self.modules if n]
        for name, axes in self.axes.items():
            if name not in self.modules or not name:
                close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
                shown = ", ".join([*close, *[n for n in names if n not in close]][:40])
                more = f" and {len(names) - 40} more" if len(names) > 40 else ""
                raise ValueError(
                    f"layers: the network has no layer {name!r}; it has {shown}{more}."
                )
            if axes is not None and sorted(axes) not in _AXES:
                raise ValueError(
                    f"layers: axes {axes!r} of {name!r}: expected B, C and T or F in the order of "
                    "the layer's output, such as BCTF, BCT or BTC."
                )

    def __call__(self, function, *inputs):
        """(answer of ``function(*inputs)``, maps [B, C, T', F'] of the layers, finest first).

        The hooks are removed again, whatever happens. Raises ValueError for a layer that was not
        used or whose output has other axes than expected.
        """
        outputs = {}

        def keeper(name):
            def keep(module, arguments, output):
                outputs[name] = output

            return keep

        handles = [self.modules[n].register_forward_hook(keeper(n)) for n in self.axes]
        try:
            answer = function(*inputs)
        finally:
            for handle in handles:
                handle.remove()
        missing = [n for n in self.axes if n not in outputs]
        if missing:
            raise ValueError(f"layers: the network did not use its layer {missing[0]!r}.")
        return answer, [as_map(outputs[n], a, n) for n, a in self.axes.items()]


def as_map(output, axes=None, name="layer"):
    """The output of a layer as a map [B, C, T, F]; axes it does not have get the size 1.

    Of a tuple or a dictionary-like output (Hugging Face), the first tensor counts.
    """
    if not hasattr(output, "dim"):
        parts = output.values() if hasattr(output, "values") else output
        output = next((p for p in parts if hasattr(p, "dim")), None)
    n = None if output is None else output.dim()
    axes = axes or DEFAULT_AXES.get(n, "")
    if n is None or len(axes) != n:
        shape = "no tensor" if n is None else f"shape {tuple(output.shape)}"
        raise ValueError(
            f"layers: {name!r} gives {shape}, expected the axes {axes or 'B, C, T, F'}: name the "
            "axes in the YAML, such as {" + f"{name}: BTC" + "}."
        )
    order = [axes.index(a) for a in "BCTF" if a in axes]
    output = output.permute(order)
    for i, a in enumerate("BCTF"):
        if a not in axes:
            output = output.unsqueeze(i)
    return output
