"""Low-rank projections that share an input, as one autograd step.

PEFT runs each adapted layer as about ten small operations, and its DoRA forms a product of the size
of W at every call. Here all projections of one input x are a single step, forward and backward:

    y_i = b_i + c_i (x W_i^T + s_i x A_i^T B_i^T)

with c_i = 1, or m_i / ||W_i + s_i B_i A_i|| for DoRA (arXiv 2402.09353). The norm of each row is
expanded to ||W||^2 + 2 s <W, BA> + s^2 ||BA||^2 and is a constant in the backward pass, as in the
paper. Products of the adapter's size are computed in the dtype of x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

NORM_FLOOR = 1e-12
"""Lower bound of squared row norms, so that a row of zeros does not divide by zero."""


@dataclass(frozen=True)
class Projection:
    """One adapted layer.

    Attributes:
        weight: Weight of the frozen base layer, `[d_out, d_in]`.
        bias: Its bias, `[d_out]`, if it has one.
        A: Trained, `[r, d_in]`.
        B: Trained, `[d_out, r]`.
        scale: The s of W + s B A.
        magnitude: DoRA's m, trained, `[d_out]`; None for LoRA.
        squared: Squared row norms of W for DoRA, float32 `[d_out]`; None for LoRA.
    """

    weight: Tensor
    bias: Tensor | None
    A: Tensor
    B: Tensor
    scale: float
    magnitude: Tensor | None = None
    squared: Tensor | None = None

    def norms(self) -> Tensor:
        """Return the row norms of W + s B A, float32 `[d_out]`."""
        assert self.squared is not None
        A, B = self.A.detach().float(), self.B.detach().float()
        cross = ((self.weight @ A.to(self.weight.dtype).T).float() * B).sum(1)
        own = (B @ (A @ A.T) * B).sum(1)
        squared = self.squared + 2 * self.scale * cross + self.scale**2 * own
        return squared.clamp(min=NORM_FLOOR).sqrt()


def project(x: Tensor, projections: Sequence[Projection]) -> tuple[Tensor, ...]:
    """Return the output of each projection for one input.

    Args:
        x: The input, `[..., d_in]`.
        projections: Projections with this d_in.

    Returns:
        The output of each projection, `[..., d_out]`.
    """
    trained = [tensor for p in projections for tensor in (p.A, p.B, p.magnitude)]
    outputs: tuple[Tensor, ...] = _Projections.apply(x, projections, *trained)
    return outputs


@dataclass(frozen=True)
class _Step:
    """What the backward pass of one projection needs from the forward pass.

    Attributes:
        projection: The projection.
        up: s B in the dtype of x, `[d_out, r]`.
        inner: x A^T, `[tokens, r]`.
        unscaled: The output before DoRA's c and the bias, `[tokens, d_out]`; None for LoRA.
        norms: Row norms of W + s B A for DoRA, float32 `[d_out]`; None for LoRA.
        factor: DoRA's c in the dtype of x, `[d_out]`; None for LoRA.
    """

    projection: Projection
    up: Tensor
    inner: Tensor
    unscaled: Tensor | None = None
    norms: Tensor | None = None
    factor: Tensor | None = None


class _Projections(torch.autograd.Function):
    """Takes A, B and m of every projection as arguments too, so that autograd sees them."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, projections: Sequence[Projection], *trained: Tensor | None
    ) -> tuple[Tensor, ...]:
        flat = x.reshape(-1, x.shape[-1])
        down = torch.cat([p.A for p in projections]).to(flat.dtype)
        inners = (flat @ down.T).split([len(p.A) for p in projections], dim=1)
        steps, outputs = [], []
        for projection, inner in zip(projections, inners, strict=True):
            step, output = _forward(projection, flat, inner)
            steps.append(step)
            outputs.append(output.view(*x.shape[:-1], -1))
        ctx.save_for_backward(flat, down)
        ctx.steps, ctx.shape = steps, x.shape
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        flat, down = ctx.saved_tensors
        found = [
            _backward(step, gradient.reshape(len(flat), -1))
            for step, gradient in zip(ctx.steps, gradients, strict=True)
        ]
        through = torch.cat([entry.inner for entry in found], dim=1)
        dA = (through.T @ flat).split([len(step.projection.A) for step in ctx.steps])
        trained: list[Tensor | None] = []
        for step, entry, gradient in zip(ctx.steps, found, dA, strict=True):
            trained += [gradient.to(step.projection.A.dtype), entry.up, entry.magnitude]
        if not ctx.needs_input_grad[0]:
            return (None, None, *trained)
        dx = through @ down
        for step, entry in zip(ctx.steps, found, strict=True):
            torch.addmm(dx, entry.output, step.projection.weight, out=dx)
        return (dx.view(ctx.shape), None, *trained)


@dataclass(frozen=True)
class _Gradients:
    """The gradients of one projection.

    Attributes:
        output: Gradient of its output before DoRA's c, `[tokens, d_out]`.
        inner: Gradient of x A^T, `[tokens, r]`.
        up: Gradient of B, `[d_out, r]`.
        magnitude: Gradient of DoRA's m, `[d_out]`; None for LoRA.
    """

    output: Tensor
    inner: Tensor
    up: Tensor
    magnitude: Tensor | None


def _forward(projection: Projection, flat: Tensor, inner: Tensor) -> tuple[_Step, Tensor]:
    up = (projection.B * projection.scale).to(flat.dtype)
    if projection.magnitude is None and projection.bias is not None:
        output = torch.addmm(projection.bias, flat, projection.weight.T)
    else:
        output = flat @ projection.weight.T
    # Not addmm_(), which torch's counter of operations does not know.
    torch.addmm(output, inner, up.T, out=output)
    if projection.magnitude is None:
        return _Step(projection, up, inner), output
    norms = projection.norms()
    factor = (projection.magnitude.float() / norms).to(up.dtype)
    step, output = _Step(projection, up, inner, output, norms, factor), output * factor
    return step, output if projection.bias is None else output + projection.bias


def _backward(step: _Step, dy: Tensor) -> _Gradients:
    projection, dm = step.projection, None
    if projection.magnitude is not None:
        assert step.unscaled is not None
        assert step.norms is not None
        assert step.factor is not None
        dm = (dy * step.unscaled).sum(0, dtype=torch.float32) / step.norms
        dm, dy = dm.to(projection.magnitude.dtype), dy * step.factor
    dB = (dy.T @ step.inner).to(projection.B.dtype) * projection.scale
    return _Gradients(dy, dy @ step.up, dB, dm)
