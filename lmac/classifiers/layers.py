"""Representations from named layers of any network, by forward hooks that live for one call."""

import difflib

import torch

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

    grid : tuple of three int, or callable, optional
        For tokens that are patches of a spectrogram (:func:`as_map`).

    Raises ValueError for a name that the network does not have, and lists those it has.
    """

    def __init__(self, network, layers=(), grid=None):
        self.grid = grid
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

        The network goes on from copies of the maps, so its answer has a gradient with respect to
        each, and layers that work in place leave them as they are. The hooks are removed again,
        whatever happens. Raises ValueError for a layer that was
        not used or whose output has other axes than expected.
        """
        maps = {}

        def hook(name, axes):
            def keep(module, arguments, output):
                tensor, rebuild = _tensor(output, name)
                maps[name], back = as_map(tensor, axes, name, self.grid)
                # A copy, for the next layer may work in place.
                return rebuild(back(maps[name]).clone())

            return keep

        handles = [self.modules[n].register_forward_hook(hook(n, a)) for n, a in self.axes.items()]
        try:
            answer = function(*inputs)
        finally:
            for handle in handles:
                handle.remove()
        missing = [n for n in self.axes if n not in maps]
        if missing:
            raise ValueError(f"layers: the network did not use its layer {missing[0]!r}.")
        return answer, [maps[n] for n in self.axes]


def as_map(tensor, axes=None, name="layer", grid=None):
    """The output of a layer as a map, and the way back.

    Arguments
    ---------
    tensor : Tensor
    axes : str, optional
        Of ``tensor``, as in :class:`LayerTap`.
    name : str
        Of the layer, for the message of ValueError when the axes do not fit.
    grid : tuple of three int, or callable, optional
        Tokens BTC that are patches of a spectrogram: number of tokens before them, of patches over
        frequency and over time, time running fastest. In another order, what makes (map, way back)
        of them.

    Returns
    -------
    Tensor [B, C, T, F]
        Axes that ``tensor`` does not have get the size 1.
    callable
        From such a map to the shape of ``tensor``.
    """
    axes = axes or DEFAULT_AXES.get(tensor.dim(), "")
    if len(axes) != tensor.dim():
        raise ValueError(
            f"layers: {name!r} gives shape {tuple(tensor.shape)}, expected the axes "
            f"{axes or 'B, C, T, F'}: name them in the YAML, such as {{{name}: BTC}}."
        )
    if callable(grid) and axes == "BTC":
        return grid(tensor)
    if grid is not None and axes == "BTC" and tensor.shape[1] == grid[0] + grid[1] * grid[2]:
        patches = tensor[:, grid[0] :].unflatten(1, grid[1:]).permute(0, 3, 2, 1)
        return patches, lambda m: torch.cat(
            [tensor[:, : grid[0]], m.permute(0, 3, 2, 1).flatten(1, 2)], 1
        )
    if axes == "BCTF":
        return tensor, lambda m: m
    order = [axes.index(a) for a in "BCTF" if a in axes]
    absent = [i for i, a in enumerate("BCTF") if a not in axes]
    output = tensor.permute(order)
    for i in absent:
        output = output.unsqueeze(i)
    inverse = [order.index(i) for i in range(len(order))]

    def back(m):
        for i in reversed(absent):
            m = m.squeeze(i)
        return m.permute(inverse)

    return output, back


def _tensor(output, name):
    """The tensor of a layer's output, of a tuple the first, and how to put one in its place."""
    if isinstance(output, torch.Tensor):
        return output, lambda t: t
    if isinstance(output, tuple) and output and isinstance(output[0], torch.Tensor):
        return output[0], lambda t: (t, *output[1:])
    raise ValueError(
        f"layers: {name!r} gives a {type(output).__name__}, expected a tensor or a tuple that "
        "begins with one: name a layer inside it."
    )
