"""The adapted layers of one input for all members at once, as one autograd step.

The rows of x are in the order of the members, equally many for each. With up and down of
`bench.stacking.products` and DoRA's c, which is 1 for other members, target i is

    y_i = b_i + c_i (W_i x + up_i (down_i x)).

The product with W runs over the rows of all members, the others are batched over members.
Gradients are added straight to views of one buffer for the whole model: autograd accumulates none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench.stacking.layers import is_dense
from bench.stacking.layout import Parts, Target
from bench.stacking.parameters import StackedParameters
from bench.training.fused_lora import float32_product
from methods.targets import weight_of


class StackedLinear(nn.Module):
    """An adapted layer of a stacked model.

    Args:
        base_layer: The layer of the base.
        group: All layers with the same input.
        number: Its place among them.
    """

    def __init__(self, base_layer: nn.Module, group: SharedInput, number: int) -> None:
        super().__init__()
        self.base_layer = base_layer
        self._group, self._number = group, number

    @property
    def weight(self) -> Any:
        """The weight of the base, for code that reads its dtype or device."""
        return self.base_layer.weight

    @property
    def bias(self) -> Any:
        """The bias of the base."""
        return self.base_layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the output `[..., d_out]` for the input `[..., d_in]` of all members."""
        return self._group.output(self._number, x)


class SharedInput:
    """Layers with the same input: the first that is called runs all of them.

    Args:
        targets: The layers, as they lie side by side in the parameters.
        bases: The layers of the base.
        parameters: The trained numbers of all members.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        bases: Sequence[nn.Module],
        parameters: StackedParameters,
    ) -> None:
        self._bases, self._parameters = bases, parameters
        layout, products = parameters.layout, parameters.products
        ratio = None if parameters.factors is None else parameters.factors.ratio
        self._at, self._place = layout.places[targets[0].name]
        self._spans = [layout.spans[target.name] for target in targets]
        self._down = self._own(products.down[self._at])
        self._layers = [
            _layer(base, products.up[:, span], None if ratio is None else ratio[:, None, span])
            for base, span in zip(bases, self._spans, strict=True)
        ]
        self._room: _Gradients | None = None
        self._input: Tensor | None = None
        self._waiting: dict[int, Tensor] = {}

    def output(self, number: int, x: Tensor) -> Tensor:
        """Return the output of one of the layers.

        Args:
            number: Which layer.
            x: The input, `[..., d_in]`.
        """
        if self._input is not x or number not in self._waiting:
            down, layers = self._down, self._layers
            if x.dtype != down.dtype:  # a check runs the model in float32 for a moment
                down, layers = self._in(x.dtype)
            given = [
                base(x) if layer.weight is None else None
                for base, layer in zip(self._bases, layers, strict=True)
            ]
            theta = self._parameters.theta
            outputs = _Projections.apply(x, theta, down, layers, self._gradients(), *given)
            # Not in there: what a function returns as a view, a model such as Falcon cannot add to.
            shaped = (output.view(*x.shape[:-1], -1) for output in outputs)
            self._input, self._waiting = x, dict(enumerate(shaped))
        output = self._waiting.pop(number)
        if not self._waiting:
            self._input = None
        return output

    def _in(self, dtype: torch.dtype) -> tuple[Tensor, list[_Layer]]:
        """Return the factors in another dtype, with the weights of the base as they are now."""
        layers = [
            _layer(base, layer.up.to(dtype), layer.ratio)
            for base, layer in zip(self._bases, self._layers, strict=True)
        ]
        return self._down.to(dtype), layers

    def _gradients(self) -> _Gradients | None:
        """Return the views that a backward pass adds to; None while nothing is trained."""
        running = self._parameters.running
        if running is None:
            self._room = None
        elif self._room is None or self._room.of is not running:
            down = self._own(running.A[self._at])
            up = [running.B[:, span] for span in self._spans]
            m = [running.m[:, span] for span in self._spans] if running.m.numel() else None
            self._room = _Gradients(running, down, up, m)
        return self._room

    def _own(self, block: Tensor) -> Tensor:
        """Return this group's part of `[members, targets, r, d_in]`, `[members, k r, d_in]`."""
        return block[:, self._place : self._place + len(self._spans)].flatten(1, 2)


@dataclass(frozen=True)
class _Layer:
    """What is the same in every pass of one layer.

    Attributes:
        weight: The weight of the base, `[d_out, d_in]`; None if its output is given instead.
        bias: The bias, `[d_out]`, if it has one and its output is not given.
        up: The second factor, `[members, d_out, width]`.
        ratio: c - 1, float32 `[members, 1, d_out]`; None if no member has an m.
    """

    weight: Tensor | None
    bias: Tensor | None
    up: Tensor
    ratio: Tensor | None


@dataclass(frozen=True)
class _Gradients:
    """Where the gradients of a group are added to.

    Attributes:
        of: The buffer that these are views of.
        down: Of A, `[members, k r, d_in]`.
        up: Of the B of each layer, `[members, d_out, r]`.
        m: Of the m of each layer, `[members, d_out]`; None if no member has an m.
    """

    of: Parts
    down: Tensor
    up: Sequence[Tensor]
    m: Sequence[Tensor] | None


class _Projections(torch.autograd.Function):
    """Takes theta as an argument too, so that autograd comes by even where x has no gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        theta: Tensor,
        down: Tensor,
        layers: Sequence[_Layer],
        gradients: _Gradients | None,
        *given: Tensor | None,
    ) -> tuple[Tensor, ...]:
        rows = x.reshape(len(down), -1, x.shape[-1])
        inner = torch.bmm(rows, down.transpose(1, 2))
        inners = inner.split(layers[0].up.shape[2], dim=2)
        unscaled: list[Tensor | None] = []
        outputs = []
        for layer, mine, base in zip(layers, inners, given, strict=True):
            if layer.ratio is None:
                unscaled.append(None)
                outputs.append(_adapted(layer, rows, mine, base))
                continue
            summed = _adapted if rows.dtype == torch.float32 else _summed
            y = summed(layer, rows, mine, base)
            unscaled.append(y)
            y = _scaled(y, layer.ratio).to(rows.dtype)
            outputs.append(y if layer.bias is None else y + layer.bias)
        ctx.save_for_backward(rows, inner, *unscaled)
        ctx.down, ctx.layers, ctx.gradients, ctx.shape = down, layers, gradients, x.shape
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        rows, inner, *unscaled = ctx.saved_tensors
        down, layers, found = ctx.down, ctx.layers, ctx.gradients
        assert found is not None, "call prepare_gradient before training"
        rank, width = found.up[0].shape[2], layers[0].up.shape[2]
        through = torch.empty_like(inner)
        dys = []
        for number, (layer, dy, y) in enumerate(zip(layers, outer, unscaled, strict=True)):
            dy = dy.reshape(*rows.shape[:2], -1)
            if layer.ratio is not None:
                dm = (dy * y).sum(1, dtype=torch.float32)
                found.m[number].add_(dm)
                dy = _scaled(dy, layer.ratio)
            first = number * width
            torch.bmm(dy, layer.up, out=through[:, :, first : first + width])
            mine = inner[:, :, first : first + rank]  # A x, whatever else there is
            torch.baddbmm(found.up[number], dy.transpose(1, 2), mine, out=found.up[number])
            dys.append(dy)
        dA = through
        if width > rank:  # through dB (A x) and through B_0 (dA x)
            dA = through.view(*through.shape[:2], len(layers), 2, rank).sum(3).flatten(2)
        torch.baddbmm(found.down, dA.transpose(1, 2), rows, out=found.down)
        given = [
            None if layer.weight is not None else dy for layer, dy in zip(layers, dys, strict=True)
        ]
        if not ctx.needs_input_grad[0]:
            return (None,) * 5 + tuple(given)
        dx = torch.bmm(through, down).flatten(0, 1)
        for layer, dy in zip(layers, dys, strict=True):
            if layer.weight is not None:
                torch.addmm(dx, dy.flatten(0, 1), layer.weight, out=dx)
        return (dx.view(ctx.shape), *(None,) * 4, *given)


def _layer(base: nn.Module, up: Tensor, ratio: Tensor | None) -> _Layer:
    if not is_dense(base):
        return _Layer(None, None, up, ratio)
    bias: Tensor | None = base.bias  # type: ignore[assignment]
    return _Layer(weight_of(base), bias, up, ratio)


def _adapted(layer: _Layer, rows: Tensor, inner: Tensor, given: Tensor | None) -> Tensor:
    """Return W x + up (down x), `[members, tokens, d_out]`, with the bias unless c follows."""
    if layer.weight is None:
        assert given is not None
        base = given.view(*rows.shape[:2], -1)
        return torch.baddbmm(base, inner, layer.up.transpose(1, 2))
    flat = rows.flatten(0, 1)
    if layer.bias is None or layer.ratio is not None:
        y = flat @ layer.weight.T
    else:
        y = torch.addmm(layer.bias, flat, layer.weight.T)
    y = y.view(*rows.shape[:2], -1)
    # Not baddbmm_(), which torch's counter of operations does not know.
    return torch.baddbmm(y, inner, layer.up.transpose(1, 2), out=y)


def _summed(layer: _Layer, rows: Tensor, inner: Tensor, given: Tensor | None) -> Tensor:
    """Return what c is about to scale as it is summed, float32: a rounded y hides small moves."""
    if layer.weight is None:
        assert given is not None
        base = given.float()
    else:
        base = float32_product(rows.flatten(0, 1), layer.weight)
    base = base.view(*rows.shape[:2], -1)
    return torch.baddbmm(base, inner.float(), layer.up.float().transpose(1, 2))


def _scaled(y: Tensor, ratio: Tensor) -> Tensor:
    """Return y + y (c - 1) in the dtype of y, computed in float32."""
    return torch.addcmul(y, y, ratio, out=torch.empty_like(y))
