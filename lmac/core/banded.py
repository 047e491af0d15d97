"""Products with matrices that are 0 but for a band, such as filterbanks."""

from typing import NamedTuple

import torch

# Cells of the matrix that a further block has to save: calling one more product takes as long as
# this many cells with the frames of a clip of 5 s, on a CPU.
WORTH = 2000


class Blocks(NamedTuple):
    """The parts of a matrix that are not 0, as pairs of slices."""

    columns: list  # (rows, columns), in the order of columns
    rows: list  # (columns, rows) of the transposed matrix, in the order of its columns

    @property
    def turned(self):
        """Those of the transposed matrix."""
        return Blocks(self.rows, self.columns)


def blocks_of(matrix):
    """The :class:`Blocks` of ``matrix`` [n, m]; one block if neighbouring columns share no rows."""
    matrix = matrix.detach().cpu()
    return Blocks(_split(matrix), _split(matrix.t()))


def multiply(x, matrix, blocks):
    """``x @ matrix`` within rounding, [..., n] to [..., m]; differentiable in ``x`` alone."""
    return _Product.apply(x, matrix, blocks)


class _Product(torch.autograd.Function):
    """Without it, the gradient of each slice of ``x`` would be a map of its whole size."""

    @staticmethod
    def forward(x, matrix, blocks):
        if torch.is_autocast_enabled(x.device.type):  # which knows no out=
            parts = [x[..., rows] @ matrix[rows, columns] for rows, columns in blocks.columns]
            return torch.cat(parts, -1)
        flat = x.reshape(-1, x.shape[-1])
        product = flat.new_empty(len(flat), matrix.shape[1])
        for rows, columns in blocks.columns:
            torch.mm(flat[:, rows], matrix[rows, columns], out=product[:, columns])
        return product.view(*x.shape[:-1], -1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.matrix, ctx.blocks = inputs

    @staticmethod
    def backward(ctx, gradient):
        turned = ctx.matrix.t().to(gradient.dtype)
        return multiply(gradient, turned, ctx.blocks.turned), None, None


def _split(matrix):
    """Ranges of columns and the rows that are not 0 in them, divided where it saves most."""
    n_rows, n_columns = matrix.shape
    place, reached = torch.arange(n_rows)[:, None], matrix != 0
    first = torch.where(reached, place, n_rows).amin(0)
    last = torch.where(reached, place + 1, 0).amax(0)

    def height(columns):
        """Rows of the block of the first 1, 2, ... of these columns."""
        top, bottom = last[columns].cummax(0)[0], first[columns].cummin(0)[0]
        return (top - bottom).clamp_min(0)

    def split(start, stop):
        columns = torch.arange(start, stop)
        left, right = height(columns), height(columns.flip(0)).flip(0)
        width = torch.arange(1, len(columns))
        cells = left[:-1] * width + right[1:] * width.flip(0)
        if len(cells) and left[-1] * len(columns) - cells.min() > WORTH:
            middle = start + 1 + int(cells.argmin())
            return split(start, middle) + split(middle, stop)
        bottom = int(first[columns].min())
        return [(slice(bottom, bottom + int(left[-1])), slice(start, stop))]

    return split(0, n_columns)
