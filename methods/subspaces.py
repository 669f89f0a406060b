"""Singular directions at one end of a spectrum, in float64 precision, without a full SVD.

All methods search for the largest directions of a tall matrix. The smallest directions of M = Q R
are the largest of the inverse of R, which does not square the condition number as M^T M does. Each
result is checked by its residual; if that is not small enough, an exact SVD takes over.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from methods.gram import lower_gram, mirror
from methods.krylov import krylov_directions

if TYPE_CHECKING:
    from torch import Tensor


class End(StrEnum):
    """Which end of a spectrum to take."""

    LARGEST = "largest"
    SMALLEST = "smallest"


SMALL = 64
"""Up to this side length a full SVD is just as fast."""

SPARE = 8
"""Extra directions beside the wanted ones, which widen the gap to the rest."""

ANGLE = 1e-8
"""Largest residual over gap, a bound on the angle to the subspace; float32 resolves 6e-8."""

STEPS, ROUNDS = 6, 6
"""Products with the Gram matrix between two checks, and the largest number of checks."""

FLAT = 0.6
"""If the last extra over the last wanted eigenvalue is above this, products converge too slowly."""

SINGULAR = 1e14
"""From this condition number up, the smallest directions consist of rounding errors."""

CORRECTIONS = 4
"""Largest number of corrections to directions that were found in float32."""

SINGLE_LIMIT = 1e-4
"""Below this ratio of a float32 Gram matrix's extreme eigenvalues its condition is unknown."""


class Subspace(NamedTuple):
    """Some singular directions of a matrix.

    Attributes:
        U: Left singular vectors, `[d_out, r]`.
        S: Singular values, `[r]`, descending.
        condition: Largest over smallest singular value of the matrix; None if not resolved.
    """

    U: Tensor
    S: Tensor
    condition: float | None


class Triplets(NamedTuple):
    """The largest singular directions of a matrix on both sides, descending.

    Attributes:
        U: Left singular vectors, `[d_out, r]`.
        S: Singular values, `[r]`.
        V: Right singular vectors, `[d_in, r]`; orthonormal in null directions too.
    """

    U: Tensor
    S: Tensor
    V: Tensor


class _Leading(NamedTuple):
    """The largest directions of a tall matrix: right singular vectors `[n, r]`, values `[r]`."""

    V: Tensor
    S: Tensor
    condition: float | None = None


def left_subspace(matrix: Tensor, rank: int, end: End, *, steep: bool = True) -> Subspace:
    """Return the left singular directions at one end; the smallest exclude null directions.

    Args:
        matrix: M `[d_out, d_in]`, float64.
        rank: Number of directions, at most the smaller side of M.
        end: Which end.
        steep: Whether the spectrum may fall off quickly at this end, as that of W C does, so that
            a few products with a Gram matrix separate the directions.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    tall = matrix.T if wide else matrix
    found = None
    if tall.shape[1] > max(SMALL, rank + SPARE):
        leading = _largest if end is End.LARGEST else _smallest
        found = leading(tall, rank, steep)
    if found is None:
        return _by_svd(matrix, rank, end)
    U = found.V if wide else tall @ found.V / found.S
    return Subspace(U, found.S, found.condition)


def leading_triplets(matrix: Tensor, rank: int) -> Triplets:
    """Return the `rank` largest singular directions of M `[d_out, d_in]`, in float64.

    A rank above the smaller side counts as that side.
    """
    matrix, rank = matrix.double(), min(rank, *matrix.shape)
    U, S, _ = left_subspace(matrix, rank, End.LARGEST)
    return Triplets(U, S, right_directions(matrix, U))


def right_directions(matrix: Tensor, left: Tensor) -> Tensor:
    """Return the right singular directions `[d_in, r]` of M that belong to its left ones.

    They are orthonormal also where a singular value is 0 and M^T u is no direction at all.

    Args:
        matrix: M `[d_out, d_in]`.
        left: U `[d_out, r]`.
    """
    import torch

    # M^T U = V S: a QR decomposition gives V up to signs.
    V, triangle = torch.linalg.qr(matrix.T @ left)
    signs = torch.where(triangle.diagonal() < 0, -1.0, 1.0).to(V)
    return V * signs


def _largest(tall: Tensor, rank: int, steep: bool) -> _Leading | None:
    found = _by_products(tall, rank) if steep else None
    return found or _by_krylov(tall, rank) or _by_corrections(tall, rank)


def _smallest(tall: Tensor, rank: int, steep: bool) -> _Leading | None:
    import torch

    triangle = torch.linalg.qr(tall, mode="r").R
    identity = torch.eye(len(triangle), dtype=triangle.dtype, device=triangle.device)
    inverse = torch.linalg.solve_triangular(triangle, identity, upper=True)
    if not torch.isfinite(inverse).all():
        return None
    found = _largest(inverse.T, rank, steep)
    if found is None:
        return None
    S = 1 / found.S.flip(0)
    condition = _norm(triangle) / float(S[-1])
    return _Leading(found.V.flip(1), S, condition) if condition < SINGULAR else None


def _by_products(tall: Tensor, rank: int) -> _Leading | None:
    """Multiply a block by the Gram matrix again and again: subspace iteration (Rutishauser, 1969).

    The start is random but always the same. Values and residuals come from `tall` itself.
    """
    import torch

    gram = mirror(lower_gram(tall))
    start = torch.Generator().manual_seed(0)
    block = torch.randn(len(gram), rank + SPARE, generator=start, dtype=gram.dtype).to(gram.device)
    for _ in range(ROUNDS):
        for _ in range(STEPS):
            block = torch.linalg.qr(gram @ block).Q
        block, image, values = _rotated(tall, block)
        residual, wanted = _residual(tall, block, image, values, rank)
        if (residual.norm(dim=0) <= ANGLE * (wanted - values[0])).all():
            return _Leading(block[:, -rank:].flip(1), wanted.flip(0).sqrt())
        if not values[0] < FLAT * wanted[0]:
            return None
    return None


def _by_krylov(tall: Tensor, rank: int) -> _Leading | None:
    """Take the directions of a large matrix from a small space; its condition stays unknown."""
    found = krylov_directions(tall, rank, SPARE, ANGLE)
    return found and _Leading(found[0], found[1].sqrt())


def _by_corrections(tall: Tensor, rank: int) -> _Leading | None:
    """Correct eigenvectors of the Gram matrix in float32 until they are those in float64.

    In turn a Rayleigh-Ritz step within a few more than are wanted, and a correction along all
    others, each by its residual over the gap to it (Davidson, 1975). The correction leaves about
    the square of the error, so two are enough, at a few products with r columns each.
    """
    import torch

    single = tall.float()
    rough, basis = torch.linalg.eigh(lower_gram(single))
    count = rank + SPARE
    others, along = rough[:-count], basis[:, :-count]
    block = basis[:, -count:].double()
    for _ in range(CORRECTIONS + 1):
        block, image, values = _rotated(tall, torch.linalg.qr(block).Q)
        residual, wanted = _residual(tall, block, image, values, rank)
        if (residual.norm(dim=0) <= ANGLE * (wanted - others[-1])).all():
            found = block[:, -rank:].flip(1), wanted.flip(0).sqrt()
            return _Leading(*found, _resolved_condition(rough))
        shares = (along.T @ residual.float()) / (wanted - others[:, None]).float()
        block[:, -rank:] += (along @ shares).double()
    return None


def _rotated(tall: Tensor, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return singular directions within a block, their images and eigenvalues, ascending."""
    import torch

    image = tall @ block
    values, turn = torch.linalg.eigh(image.T @ image)
    return block @ turn, image @ turn, values


def _residual(
    tall: Tensor, block: Tensor, image: Tensor, values: Tensor, rank: int
) -> tuple[Tensor, Tensor]:
    """Return how far the last `rank` are from being eigenvectors, `[n, r]`, and their values."""
    wanted = values[-rank:]
    return tall.T @ image[:, -rank:] - block[:, -rank:] * wanted, wanted


def _norm(matrix: Tensor) -> float:
    """Return the largest singular value, accurate to 1% or better."""
    import torch

    start = torch.Generator().manual_seed(0)
    block = torch.randn(len(matrix), 4, generator=start, dtype=matrix.dtype).to(matrix.device)
    for _ in range(2 * STEPS):
        block = torch.linalg.qr(matrix.T @ (matrix @ block)).Q
    return float(torch.linalg.matrix_norm(matrix @ block, 2))


def _resolved_condition(values: Tensor) -> float | None:
    """Return the condition number from a Gram matrix's eigenvalues; None if they are too rough."""
    least, greatest = float(values[0]), float(values[-1])
    resolved = least > SINGLE_LIMIT * greatest
    return (greatest / least) ** 0.5 if resolved else None


def _by_svd(matrix: Tensor, rank: int, end: End) -> Subspace:
    import torch

    U, S, _ = torch.linalg.svd(matrix, full_matrices=False)
    # Keeps B and A finite in the null directions of a matrix without full rank.
    S = S.clamp_min(torch.finfo(S.dtype).eps * float(S[0]))
    chosen = end_slice(len(S), rank, end)
    return Subspace(U[:, chosen], S[chosen], float(S[0] / S[-1]))


def end_slice(count: int, rank: int, end: End) -> slice:
    """Return the slice of the `rank` directions at one end of `count` in descending order."""
    return slice(0, rank) if end is End.LARGEST else slice(count - rank, None)
