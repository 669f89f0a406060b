"""Rank-r pieces of a weight that adapters start from: PiSSA, MiLoRA and CorDA in one identity.

With U_r the chosen left singular vectors of M (M = W, or W C for CorDA), S_r their singular
values and s = alpha / r,

    B = U_r sqrt(S_r / s) `[d_out, r]`,  A = U_r^T W / sqrt(s S_r) `[r, d_in]`,
    s B A = U_r U_r^T W.

For M = W this is PiSSA's A = sqrt(S_r / s) V_r^T; for M = W C it is CorDA's
A = sqrt(S_r / s) (V^T C^-1)_r without an inverse, since S V^T C^-1 = U^T W.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

DAMP = 0.01
INVERSE_ERROR = 0.05


class End(StrEnum):
    """Which end of the spectrum is trained."""

    LARGEST = "largest"
    SMALLEST = "smallest"


GRAM_LIMITS = {End.LARGEST: 1e-13, End.SMALLEST: 1e-10}
"""Smallest over largest eigenvalue of a float64 Gram matrix below which an SVD takes over.

A small direction is off by about eps over that ratio (2.5e-5 measured at 3e-12)."""

SINGLE_LIMIT = 1e-4
"""The same of a float32 Gram matrix, below which its condition number is left open."""

SPARE = 8
"""Eigenvectors refined beside those that are wanted, so that the gap to the others is wider."""

CORRECTIONS = 4
REFINED = 1e-9
"""A residual over its gap, which bounds the angle to the subspace: float32 factors hold 6e-8."""


@dataclass(frozen=True)
class Factors:
    """What an adapter starts from; the base keeps W - s B A.

    Attributes:
        B: `[d_out, r]`, float32.
        A: `[r, d_in]`, float32.
        singular_values: `[r]`, descending, of M, divided by s.
        condition: Largest over smallest singular value of M; None where not resolved.
    """

    B: Tensor
    A: Tensor
    singular_values: Tensor
    condition: float | None = None


def principal_factors(weight: Tensor, rank: int, scale: float) -> Factors:
    """PiSSA (2404.02948): the largest r of W `[d_out, d_in]`, to the precision of float64.

    Singular values 0.6 % apart at the cut put a float32 Gram matrix 1.3e-4 off in B A (measured).
    """
    double = weight.double()
    U, S, condition = refined_subspace(double, rank) or left_subspace(double, rank, End.LARGEST)
    return _balanced(double, U, S, scale, condition)


def minor_factors(weight: Tensor, rank: int, scale: float) -> Factors:
    """MiLoRA (2406.09044): the smallest non-null r of W `[d_out, d_in]`, in float64."""
    weight = weight.double()
    U, S, condition = left_subspace(weight, rank, End.SMALLEST)
    return _balanced(weight, U, S, scale, condition)


def corda_factors(weight: Tensor, damped: Tensor, rank: int, scale: float, end: End) -> Factors:
    """CorDA (2406.05223) from W `[d_out, d_in]` and the damped C `[d_in, d_in]`, in float64."""
    weight = weight.double()
    U, S, condition = left_subspace(weight @ damped.double(), rank, end)
    return _balanced(weight, U, S, scale, condition)


def reference_corda_factors(
    weight: Tensor, damped: Tensor, rank: int, scale: float, end: End
) -> Factors:
    """CorDA in PEFT's arithmetic: float32, an explicit inverse and an exact SVD."""
    import torch

    damped = damped.float()
    U, S, Vh = torch.linalg.svd(weight.float() @ damped, full_matrices=False)
    A = Vh @ torch.linalg.inv(damped)
    chosen = _chosen(len(S), rank, end)
    U, S, A = U[:, chosen], S[chosen] / scale, A[chosen]
    # float32 does not resolve the condition number where it matters.
    return Factors((U * S.sqrt()).contiguous(), A * S.sqrt()[:, None], S)


def damped_covariance(covariance: Tensor) -> Tensor:
    """Return C + damp * mean(diag C) * I in float64; `covariance` is C `[d_in, d_in]`.

    damp starts at 0.01 and doubles until ||C C^-1 - I||_F < 0.05. The test runs in float32 as
    the reference does, so that both precisions decompose one and the same matrix.

    Raises:
        ValueError: C holds a value that is not finite, or no damping makes it invertible.
    """
    import torch

    if not torch.isfinite(covariance).all():
        raise ValueError("a covariance holds values that are not finite")
    identity = torch.eye(len(covariance), device=covariance.device)
    mean = covariance.diagonal().double().mean()
    for doubling in range(64):
        damped = covariance.double() + DAMP * 2**doubling * mean * identity.double()
        single = damped.float()
        inverse, info = torch.linalg.inv_ex(single)
        if int(info) == 0 and torch.dist(single @ inverse, identity) < INVERSE_ERROR:
            return damped
    raise ValueError("a covariance cannot be inverted: its calibration inputs are all zero")


def left_subspace(matrix: Tensor, rank: int, end: End) -> tuple[Tensor, Tensor, float]:
    """Return U_r `[d_out, r]`, S_r `[r]` descending, and the condition number of `matrix`.

    From the Gram matrix on the smaller side, so that the smallest directions are non-null ones.
    `matrix` is float64; an exact SVD takes over where squaring has lost the small end.
    """
    import torch

    wide = matrix.shape[0] <= matrix.shape[1]
    gram = matrix @ matrix.T if wide else matrix.T @ matrix
    values, vectors = torch.linalg.eigh(gram)
    if values[0] < GRAM_LIMITS[end] * values[-1]:
        return _subspace_by_svd(matrix, rank, end)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)  # eigh ascends
    S = _floored(values.sqrt())
    chosen = _chosen(len(S), rank, end)
    U = vectors[:, chosen] if wide else (matrix @ vectors[:, chosen]) / S[chosen]
    return U, S[chosen], float(S[0] / S[-1])


def refined_subspace(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor, float | None] | None:
    """Return `left_subspace` at the largest end; None where refinement does not get there.

    All eigenvectors of the Gram matrix in float32, then the leading ones in float64: in turn a
    Rayleigh-Ritz step within a few more than are wanted, and a correction along all others, each
    by its residual over the gap to it (Davidson, 1975). The correction leaves about the square
    of the error, so two are enough, at a few products with r columns each.

    Args:
        matrix: `[d_out, d_in]`, float64.
        rank: At most the smaller side.
    """
    import torch

    wide = matrix.shape[0] <= matrix.shape[1]
    tall = matrix.T if wide else matrix
    single = tall.float()
    rough, basis = torch.linalg.eigh(single.T @ single)
    count = min(len(rough), rank + SPARE)
    others, along = rough[:-count], basis[:, :-count]
    block = basis[:, -count:].double()
    for _ in range(CORRECTIONS + 1):
        block = torch.linalg.qr(block).Q
        image = tall @ block
        values, turn = torch.linalg.eigh(image.T @ image)
        block, image, wanted = block @ turn, image @ turn, values[-rank:]
        residual = tall.T @ image[:, -rank:] - block[:, -rank:] * wanted
        gaps = wanted - (others[-1] if len(others) else 0.0)
        if (residual.norm(dim=0) <= REFINED * gaps).all():
            S = wanted.flip(0).sqrt()
            U = block[:, -rank:].flip(1) if wide else image[:, -rank:].flip(1) / S
            return U, S, _resolved_condition(rough)
        shares = (along.T @ residual.float()) / (wanted - others[:, None]).float()
        block[:, -rank:] += (along @ shares).double()
    return None


def _resolved_condition(values: Tensor) -> float | None:
    """Return the condition number by a Gram matrix's eigenvalues; None where they are too rough."""
    least, greatest = float(values[0]), float(values[-1])
    resolved = least > SINGLE_LIMIT * greatest
    return (greatest / least) ** 0.5 if resolved else None


def _subspace_by_svd(matrix: Tensor, rank: int, end: End) -> tuple[Tensor, Tensor, float]:
    import torch

    U, S, _ = torch.linalg.svd(matrix, full_matrices=False)
    S, chosen = _floored(S), _chosen(len(S), rank, end)
    return U[:, chosen], S[chosen], float(S[0] / S[-1])


def _chosen(count: int, rank: int, end: End) -> slice:
    return slice(0, rank) if end is End.LARGEST else slice(count - rank, None)


def _floored(S: Tensor) -> Tensor:
    """Keep B and A finite in the null directions of a matrix without full rank."""
    import torch

    return S.clamp_min(torch.finfo(S.dtype).eps * float(S[0]))


def _balanced(
    weight: Tensor, U: Tensor, S: Tensor, scale: float, condition: float | None
) -> Factors:
    B = U * (S / scale).sqrt()
    A = (U.T @ weight) / (S * scale).sqrt()[:, None]
    return Factors(B.float().contiguous(), A.float().contiguous(), (S / scale).float(), condition)
