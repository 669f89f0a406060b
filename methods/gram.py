"""Gram matrices X^T X, of which only the lower half is multiplied."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BLOCKS = 4
"""Blocks of columns: from the diagonal down, 10 of their 16 products are left."""


def add_lower(total: Tensor, rows: Tensor) -> None:
    """Add X^T X to `total` `[d, d]`, on the diagonal and below; above, it is left undefined.

    Args:
        total: In the dtype of `rows`.
        rows: X `[rows, d]`.
    """
    width = -(-rows.shape[1] // BLOCKS)
    for first in range(0, rows.shape[1], width):
        columns = slice(first, first + width)
        total[first:, columns].addmm_(rows[:, first:].T, rows[:, columns])


def lower_gram(rows: Tensor) -> Tensor:
    """Return X^T X `[d, d]` on the diagonal and below, which is what `torch.linalg.eigh` reads."""
    total = rows.new_zeros(rows.shape[1], rows.shape[1])
    add_lower(total, rows)
    return total


def mirrored(total: Tensor) -> Tensor:
    """Return the symmetric matrix that has the lower half of `total`."""
    return total.tril() + total.tril(-1).T
