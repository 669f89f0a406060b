"""Low-rank projections that share an input, as one autograd step.

PEFT runs each adapted layer as about ten small operations, and its DoRA forms a product of the size
of W at every call. Here all projections of one input x are a single step, forward and backward:

    y_i = b_i + c_i (x W_i^T + s_i x D_i^T U_i^T)

where U D is B A, or [dB, B_0] [A; dA] = B A - B_0 A_0 for a layer that has a start
(`methods.difference`). c_i is 1, or m_i / ||W_i + s_i U_i D_i|| for DoRA (arXiv 2402.09353). The
norm of each row is expanded, see `row_norms`, and is a constant in the backward pass, as in the
paper. Products of the adapter's size are computed in the dtype of x. DoRA's are scaled by c before
they are rounded to it: bfloat16 resolves 0.4 %, and m moves by less in a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from methods.difference import Start, row_norms


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
        start: The frozen A_0 and B_0; None where B started at 0.
    """

    weight: Tensor
    bias: Tensor | None
    A: Tensor
    B: Tensor
    scale: float
    magnitude: Tensor | None = None
    squared: Tensor | None = None
    start: Start | None = None

    @property
    def down(self) -> Tensor:
        """D `[k, d_in]`: A, or [A; dA]."""
        return self.A if self.start is None else self.start.down(self.A)

    @property
    def up(self) -> Tensor:
        """U `[d_out, k]`: B, or [dB, B_0]."""
        return self.B if self.start is None else self.start.up(self.B)


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
    # Not in there: what a function returns as a view, a model such as Falcon could not add to.
    return tuple(output.view(*x.shape[:-1], -1) for output in outputs)


@dataclass(frozen=True)
class _Step:
    """What the backward pass of one projection needs from the forward pass.

    Attributes:
        projection: The projection.
        up: s U in the dtype of x, `[d_out, k]`.
        inner: x D^T, `[tokens, k]`.
        unscaled: The output before DoRA's c and the bias, float32 `[tokens, d_out]`; None for LoRA.
        norms: Row norms of W + s U D for DoRA, float32 `[d_out]`; None for LoRA.
        factor: DoRA's c, float32 `[d_out]`; None for LoRA.
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
        downs = [p.down for p in projections]
        down = torch.cat(downs).to(flat.dtype)
        inners = (flat @ down.T).split([len(D) for D in downs], dim=1)
        steps, outputs = [], []
        for projection, D, inner in zip(projections, downs, inners, strict=True):
            step, output = _forward(projection, D, flat, inner)
            steps.append(step)
            outputs.append(output)
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
        folded = through
        if any(step.projection.start for step in ctx.steps):  # A is in both halves of D
            folded = torch.cat([entry.folded for entry in found], dim=1)
        dA = (folded.T @ flat).split([len(step.projection.A) for step in ctx.steps])
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
        inner: Gradient of x D^T, `[tokens, k]`.
        folded: Gradient of x A^T, `[tokens, r]`.
        up: Gradient of B, `[d_out, r]`.
        magnitude: Gradient of DoRA's m, `[d_out]`; None for LoRA.
    """

    output: Tensor
    inner: Tensor
    folded: Tensor
    up: Tensor
    magnitude: Tensor | None


def _forward(
    projection: Projection, down: Tensor, flat: Tensor, inner: Tensor
) -> tuple[_Step, Tensor]:
    unscaled_up = projection.up
    up = (unscaled_up * projection.scale).to(flat.dtype)
    if projection.magnitude is None:
        output = _product(flat, projection.weight, projection.bias)
        # Not addmm_(), which torch's counter of operations does not know.
        torch.addmm(output, inner, up.T, out=output)
        return _Step(projection, up, inner), output
    assert projection.squared is not None
    norms = row_norms(projection.weight, projection.squared, down, unscaled_up, projection.scale)
    factor = projection.magnitude / norms
    unscaled = _in_float32(flat, projection.weight, inner, up)
    output = _scaled(unscaled, factor, flat.dtype)
    step = _Step(projection, up, inner, unscaled, norms, factor)
    return step, output if projection.bias is None else output + projection.bias


def _product(flat: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return flat @ weight.T if bias is None else torch.addmm(bias, flat, weight.T)


def _in_float32(flat: Tensor, weight: Tensor, inner: Tensor, up: Tensor) -> Tensor:
    """Return x W^T + inner up^T `[tokens, d_out]` as it is summed, not rounded."""
    output = float32_product(flat, weight)
    if flat.dtype == torch.float32 or flat.is_cpu:
        return torch.addmm(output, inner.float(), up.float().T, out=output)
    # Not addmm(out_dtype=...), on which torch 2.13's counter of operations fails.
    output += torch.mm(inner, up.T, out_dtype=torch.float32)
    return output


def float32_product(flat: Tensor, weight: Tensor) -> Tensor:
    """Return x W^T `[tokens, d_out]` as it is summed, float32, for x `[tokens, d_in]`."""
    if flat.dtype == torch.float32 or flat.is_cpu:  # there a product has the dtype of its factors
        return flat.float() @ weight.float().T
    return torch.mm(flat, weight.T, out_dtype=torch.float32)


def _scaled(values: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return float32 `factor` times `values`, rounded once, to `dtype`."""
    if dtype == torch.float32:
        return values * factor
    return torch.mul(values, factor, out=torch.empty_like(values, dtype=dtype))


def _backward(step: _Step, dy: Tensor) -> _Gradients:
    projection, dm = step.projection, None
    if projection.magnitude is not None:
        assert step.unscaled is not None
        assert step.norms is not None
        assert step.factor is not None
        dm = (dy * step.unscaled).sum(0, dtype=torch.float32) / step.norms
        dm = dm.to(projection.magnitude.dtype)
        dy = _scaled(dy, step.factor, dy.dtype)
    inner, through = step.inner, dy @ step.up
    folded = through
    if projection.start is not None:
        rank = len(projection.A)
        inner, folded = inner[:, :rank], through[:, :rank] + through[:, rank:]
    dB = (dy.T @ inner).to(projection.B.dtype) * projection.scale
    return _Gradients(dy, through, folded, dB, dm)
