"""The largest directions of a large matrix from a block Krylov space, in float64.

A space is spanned by a block of vectors and what the Gram matrix makes of it, again and again. It
holds the largest eigenvectors long before it holds the others. A full space is restarted from its
best part (thick restart: Wu and Simon, 2000), so that it never grows large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.gram import lower_gram, mirror

if TYPE_CHECKING:
    from torch import Tensor

FROM = 2048
"""Sides below this are decomposed whole, which is as fast. For 16 directions on one thread, a space
is 1.0 to 2.0 times as fast at 2048 x 2048, and 2.1 to 4.4 times at 4096 x 4096."""

BLOCKS, KEPT = 8, 3
"""A space has 8 blocks; the best third of it stays when it is restarted."""

ROUNDS = 12
"""Largest number of spaces. Gaussian matrices, which have no gaps, took 6 to 10."""


def krylov_directions(
    tall: Tensor, rank: int, spare: int, angle: float
) -> tuple[Tensor, Tensor] | None:
    """Return the largest right singular directions, or None if a whole decomposition is better.

    Args:
        tall: The matrix `[m, n]`, m at least n, float64.
        rank: Number of directions.
        spare: Extra directions beside the wanted ones, which widen the gap to the rest.
        angle: Largest residual over gap, a bound on the angle to the subspace.

    Returns:
        The directions `[n, rank]` and the squared singular values `[rank]`, both descending.
    """
    import torch

    count, sides = rank + spare, tall.shape[1]
    space = BLOCKS * count
    if sides < FROM or 4 * space > sides:
        return None
    gram = mirror(lower_gram(tall))
    draws = torch.Generator().manual_seed(0)
    block = torch.randn(sides, count, generator=draws, dtype=gram.dtype).to(gram.device)
    basis = images = gram.new_empty(sides, 0)
    for _ in range(ROUNDS):
        while basis.shape[1] < space:
            block = _orthonormal(block, basis)
            image = gram @ block
            basis, images = torch.cat([basis, block], 1), torch.cat([images, image], 1)
            block = image

        values, turn = torch.linalg.eigh(basis.T @ images)
        values, turn = values[-space // KEPT :], turn[:, -space // KEPT :]
        basis, images = basis @ turn, images @ turn

        # The residuals lie in what is next of the space, so that it goes on where it was.
        block = images[:, -count:] - basis[:, -count:] * values[-count:]
        wanted = values[-rank:]
        if (block[:, -rank:].norm(dim=0) <= angle * (wanted - values[-count])).all():
            return basis[:, -rank:].flip(1), wanted.flip(0)
    return None


def _orthonormal(block: Tensor, basis: Tensor) -> Tensor:
    """Return an orthonormal basis of a block's part beside `basis`."""
    import torch

    for _ in range(2):  # the second time removes what rounding left
        block = torch.linalg.qr(block - basis @ (basis.T @ block)).Q
    return block
