"""Gram matrices X^T X, computing only the lower half."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BLOCKS = 4
"""Blocks of columns; 10 of their 16 products lie on or below the diagonal."""


def add_lower(total: Tensor, rows: Tensor) -> None:
    """Add X^T X to `total` `[d, d]` on and below the diagonal; above it, values are undefined.

    Args:
        total: The matrix to add to, in the dtype of `rows`.
        rows: X `[rows, d]`.
    """
    width = -(-rows.shape[1] // BLOCKS)
    for first in range(0, rows.shape[1], width):
        columns = slice(first, first + width)
        total[first:, columns].addmm_(rows[:, first:].T, rows[:, columns])


def lower_gram(rows: Tensor) -> Tensor:
    """Return X^T X `[d, d]` on and below the diagonal, which is all `torch.linalg.eigh` reads."""
    total = rows.new_zeros(rows.shape[1], rows.shape[1])
    add_lower(total, rows)
    return total


def mirror(total: Tensor) -> Tensor:
    """Make `total` `[d, d]` symmetric by its lower half, in place, and return it."""
    width = -(-len(total) // BLOCKS)
    for first in range(0, len(total), width):
        here, beyond = slice(first, first + width), slice(first + width, None)
        block = total[here, here]
        block.tril_()
        block += block.tril(-1).T
        total[here, beyond] = total[beyond, here].T
    return total
