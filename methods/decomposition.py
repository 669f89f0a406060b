"""The rank-r pieces of a weight that PiSSA, MiLoRA and CorDA start from, by one identity.

With U_r the chosen left singular vectors of M (M = W, or W C for CorDA), S_r their singular
values and s = alpha / r,

    B = U_r sqrt(S_r / s) `[d_out, r]`,  A = U_r^T W / sqrt(s S_r) `[r, d_in]`,
    s B A = U_r U_r^T W.

For M = W this is PiSSA's A = sqrt(S_r / s) V_r^T; for M = W C it is CorDA's
A = sqrt(S_r / s) (V^T C^-1)_r without an inverse, since S V^T C^-1 = U^T W.

A rank above the smaller side of W counts as that side, and B A is then the whole of W.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from methods.subspaces import End, Subspace, end_slice, left_subspace

if TYPE_CHECKING:
    from torch import Tensor

DAMP = 0.01
INVERSE_ERROR = 0.05

INVERSE_PROBES = 16
INVERSE_MARGIN = 3.0
"""An estimated error must be this many times below the limit; estimates were 0.4 to 2.4 errors."""


@dataclass(frozen=True)
class Factors:
    """What an adapter starts from: a piece s B A of W.

    Attributes:
        B: `[d_out, r]`, float32.
        A: `[r, d_in]`, float32.
        singular_values: `[r]`, descending, of M, divided by s; None where there is no SVD.
        condition: Largest over smallest singular value of M; None if float32 cannot resolve it.
    """

    B: Tensor
    A: Tensor
    singular_values: Tensor | None = None
    condition: float | None = None

    def cpu(self) -> Factors:
        """Return the same factors on the CPU."""
        values = self.singular_values
        return replace(
            self,
            B=self.B.cpu(),
            A=self.A.cpu(),
            singular_values=None if values is None else values.cpu(),
        )


def principal_factors(weight: Tensor, rank: int, scale: float) -> Factors:
    """Return PiSSA's factors (arXiv 2404.02948): the r largest directions of W `[d_out, d_in]`.

    Computed in float64: where singular values at the cut were 0.6% apart, a float32 Gram matrix
    gave a B A that was off by 1.3e-4.
    """
    weight, rank = weight.double(), min(rank, *weight.shape)
    found = left_subspace(weight, rank, End.LARGEST, steep=False)
    return _balanced(weight, found, scale)


def minor_factors(weight: Tensor, rank: int, scale: float) -> Factors:
    """Return MiLoRA's factors (arXiv 2406.09044): the r smallest non-null directions of W."""
    weight, rank = weight.double(), min(rank, *weight.shape)
    return _balanced(weight, left_subspace(weight, rank, End.SMALLEST), scale)


def corda_factors(weight: Tensor, damped: Tensor, rank: int, scale: float, end: End) -> Factors:
    """Return CorDA's factors (arXiv 2406.05223), computed in float64.

    Args:
        weight: W `[d_out, d_in]`.
        damped: C `[d_in, d_in]` from `damped_covariance`.
        rank: r.
        scale: s.
        end: Which singular directions of W C to take.
    """
    weight, rank = weight.double(), min(rank, *weight.shape)
    return _balanced(weight, left_subspace(weight @ damped.double(), rank, end), scale)


def reference_corda_factors(
    weight: Tensor, damped: Tensor, rank: int, scale: float, end: End
) -> Factors:
    """Return CorDA's factors by PEFT's arithmetic: float32, an explicit inverse, an exact SVD."""
    import torch

    damped, rank = damped.float(), min(rank, *weight.shape)
    U, S, Vh = torch.linalg.svd(weight.float() @ damped, full_matrices=False)
    A = Vh @ torch.linalg.inv(damped)
    chosen = end_slice(len(S), rank, end)
    U, S, A = U[:, chosen], S[chosen] / scale, A[chosen]
    # float32 does not resolve the condition number where it matters.
    return Factors((U * S.sqrt()).contiguous(), A * S.sqrt()[:, None], S)


def damped_covariance(covariance: Tensor) -> Tensor:
    """Return C + damp * mean(diag C) * I in float64, for the covariance C `[d_in, d_in]`.

    damp starts at 0.01 and doubles until ||C C^-1 - I||_F < 0.05. This test runs in float32, as in
    the reference code, so that both precisions decompose the same matrix.

    Raises:
        ValueError: C holds a value that is not finite, or no damping makes it invertible.
    """
    import torch

    if not torch.isfinite(covariance).all():
        raise ValueError("a covariance holds values that are not finite")
    mean = covariance.diagonal().double().mean()
    for doubling in range(64):
        damped = covariance.double()
        damped.diagonal().add_(DAMP * 2**doubling * mean)
        if _invertible(damped.float()):
            return damped
    raise ValueError("a covariance cannot be inverted: its calibration inputs are all zero")


def _invertible(matrix: Tensor) -> bool:
    """Return whether ||C C^-1 - I||_F < 0.05 in float32, C^-1 by elimination as the reference does.

    The error is seldom close to the limit. C times the Cholesky solutions for a few random
    right-hand sides shows, without an inverse, that it is far below.
    """
    import torch

    factor, info = torch.linalg.cholesky_ex(matrix)
    if int(info) == 0:
        draws = torch.Generator().manual_seed(0)
        sides = torch.randn(len(matrix), INVERSE_PROBES, generator=draws).to(matrix.device)
        error = torch.dist(matrix @ torch.cholesky_solve(sides, factor), sides)
        if error / INVERSE_PROBES**0.5 < INVERSE_ERROR / INVERSE_MARGIN:
            return True
    inverse, info = torch.linalg.inv_ex(matrix)
    identity = torch.eye(len(matrix), device=matrix.device)
    return int(info) == 0 and bool(torch.dist(matrix @ inverse, identity) < INVERSE_ERROR)


def _balanced(weight: Tensor, found: Subspace, scale: float) -> Factors:
    B = found.U * (found.S / scale).sqrt()
    A = (found.U.T @ weight) / (found.S * scale).sqrt()[:, None]
    return Factors(
        B.float().contiguous(), A.float().contiguous(), (found.S / scale).float(), found.condition
    )
