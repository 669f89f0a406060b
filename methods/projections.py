"""The piece of a weight that a projector cuts out: s B A = Q Q^T W, or s B A = W Q Q^T.

Q `[d, r]` has orthonormal columns, s is alpha / r. Most starts are this one identity, with another
Q: the left singular vectors of W (PiSSA, MiLoRA) or of W C (CorDA), see `methods.decomposition`, or
the eigenvectors of a covariance of outputs (Astra, SC-LoRA) or of inputs (LoRA-Null).

Eigenvectors are found in float64 and by a full decomposition: those of the smallest eigenvalues are
asked for as often as those of the largest, and a difference of covariances has negative ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from methods.decomposition import Factors
from methods.notes import Notes
from methods.peft_adapter import lora_layers
from methods.subspaces import End, left_subspace, right_directions

if TYPE_CHECKING:
    from torch import Tensor, nn


def left_factors(weight: Tensor, Q: Tensor, scale: float) -> Factors:
    """Return B = Q and A = Q^T W / s, so that s B A = Q Q^T W.

    Args:
        weight: W `[d_out, d_in]`.
        Q: `[d_out, r]`, orthonormal, float64.
        scale: s.
    """
    A = (Q.T @ weight.double()) / scale
    return Factors(Q.float().contiguous(), A.float().contiguous())


def right_factors(weight: Tensor, Q: Tensor, scale: float) -> Factors:
    """Return B = U sqrt(S / s) and A = sqrt(S / s) V^T with U S V^T = W Q Q^T, r directions.

    The SVD is that of the thin W Q `[d_out, r]` = U S R^T, whose V is Q R: the same piece at a
    fraction of the time.

    Args:
        weight: W `[d_out, d_in]`.
        Q: `[d_in, r]`, orthonormal, float64, with r at most d_out.
        scale: s.
    """
    import torch

    U, S, Rh = torch.linalg.svd(weight.double() @ Q, full_matrices=False)
    root = (S / scale).sqrt()
    B, A = U * root, root[:, None] * (Rh @ Q.T)
    return Factors(B.float().contiguous(), A.float().contiguous(), (S / scale).float())


def null_factors(weight: Tensor, Q: Tensor, scale: float) -> Factors:
    """Return B = 0 and A = Q^T: nothing is cut out of W yet.

    Args:
        weight: W `[d_out, d_in]`.
        Q: `[d_in, r]`, orthonormal, float64.
        scale: s, which does not matter.
    """
    B = Q.new_zeros(len(weight), Q.shape[1]).float()
    return Factors(B, Q.T.float().contiguous())


def eigenvectors(matrix: Tensor, rank: int, end: End) -> Tensor:
    """Return eigenvectors `[d, rank]` at one end of the spectrum, float64, the largest first.

    Args:
        matrix: Symmetric, `[d, d]`; eigenvalues may be negative.
        rank: How many; at most d are returned.
        end: Which end.
    """
    import torch

    basis = torch.linalg.eigh(matrix.double())[1].flip(1)
    chosen = basis[:, :rank] if end is End.LARGEST else basis[:, -rank:]
    return chosen.contiguous()


def output_directions(weight: Tensor, inputs: Tensor, rank: int, end: End) -> Tensor:
    """Return eigenvectors `[d_out, rank]` of W D W^T: of a covariance of a layer's outputs.

    With more outputs than inputs, W = P R with P orthonormal, and those of R D R^T `[d_in, d_in]`,
    turned by P, are the ones whose eigenvalue is not 0 by the shape of W alone. They are the
    largest, unless some are negative.

    Args:
        weight: W `[d_out, d_in]`.
        inputs: D `[d_in, d_in]`, symmetric: a covariance of inputs, or a difference of two.
        rank: How many; at most d_out are returned.
        end: Which end.
    """
    import torch

    W, D = weight.double(), inputs.double()
    if end is End.LARGEST and rank <= W.shape[1] < W.shape[0]:
        P, R = torch.linalg.qr(W)
        values, basis = torch.linalg.eigh(R @ D @ R.T)
        if values[-rank] > 0:
            return (P @ basis.flip(1)[:, :rank]).contiguous()
    return eigenvectors(W @ D @ W.T, rank, end)


@dataclass(frozen=True, eq=False)
class Outside:
    """Keeps B A outside the main directions of W: (I - U U^T) B A (I - V V^T).

    Attributes:
        U: Left singular vectors `[d_out, k]` of W, orthonormal, float32.
        V: Right ones `[d_in, k]`.
    """

    U: Tensor
    V: Tensor

    @property
    def left(self) -> int:
        """How many directions are left on the smaller side of W."""
        return min(len(self.U), len(self.V)) - self.U.shape[1]

    def to(self, device: Any) -> Outside:
        """Return the same on a device."""
        return Outside(self.U.to(device), self.V.to(device))

    def project(self, A: Tensor, B: Tensor) -> None:
        """Take the main directions out of A `[r, d_in]` and B `[d_out, r]`, in place."""
        import torch

        with torch.no_grad():
            A.sub_((A @ self.V) @ self.V.T)
            B.sub_(self.U @ (self.U.T @ B))


def main_directions(weight: Tensor, count: int) -> Outside:
    """Return the singular vectors of the `count` largest singular values of W, on the CPU.

    Args:
        weight: W `[d_out, d_in]`.
        count: How many, at most the smaller side of W.
    """
    W = weight.double()
    U = left_subspace(W, min(count, *W.shape), End.LARGEST, steep=False).U
    return Outside(U.float().cpu(), right_directions(W, U).float().cpu())


def keep_outside(model: nn.Module, kept: Mapping[str, Outside]) -> nn.Module:
    """Return a PEFT model whose A and B are projected, now and by `project_again`.

    Args:
        model: The model.
        kept: What each of its layers keeps outside of, by the layer's name in the base.
    """
    for name, layer in lora_layers(model):
        layer.outside = kept[name].to(layer.lora_A["default"].weight.device)
    project_again(model)
    return model


def project_again(model: nn.Module) -> None:
    """Project what an optimizer has made of A and B in a model of `keep_outside`."""
    for _, layer in lora_layers(model):
        layer.outside.project(layer.lora_A["default"].weight, layer.lora_B["default"].weight)


def nothing_left(kept: Mapping[str, Outside]) -> Iterator[Notes]:
    """Yield a warning about layers that keep outside of every direction, if there are some."""
    full = [name for name, outside in kept.items() if not outside.left]
    if full:
        several = f" and {len(full) - 1} more" if len(full) > 1 else ""
        count = kept[full[0]].U.shape[1]
        line = f"all {count} directions of '{full[0]}'{several} are kept: nothing trains there"
        yield Notes(warnings=(line,))
