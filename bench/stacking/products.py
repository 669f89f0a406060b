"""The factors of all members as forward and backward passes use them.

With up = s B and down = A the layer is W + up down. A member that starts from A_0 and B_0 is
W + s (B A - B_0 A_0), which keeps its precision in a short dtype, and is W itself at the start, as

    up = s [B - B_0, B_0]   `[d_out, 2r]`,      down = [A; A - A_0]   `[2r, d_in]`.

If one member has a start, all are written so: the second half is zero for those that have none.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.stacking.layout import Layout, Parts
from methods.difference import NORM_FLOOR, squared_rows


class Products:
    """The factors in one dtype.

    Args:
        parts: The trained numbers, float32.
        start: The starts; None if no member has one.
        scale: The s of each row of B, `[members, rows, 1]`.
        dtype: The dtype of the products.

    Attributes:
        width: The rank of the factors: r, or 2r with starts.
        down: For each distinct d_in, `[members, targets, width, d_in]`.
        up: `[members, rows, width]`.
    """

    def __init__(
        self, parts: Parts, start: Parts | None, scale: Tensor, dtype: torch.dtype
    ) -> None:
        self._parts, self._start, self._scale = parts, start, scale
        layout: Layout = parts.layout
        members, r = len(parts.flat), layout.rank
        self.width = r if start is None else 2 * r
        like = parts.flat.new_empty(0, dtype=dtype)
        if start is None and dtype == parts.flat.dtype:
            self.down = parts.A  # as it is: no copy
        else:
            self.down = [
                like.new_empty(members, count, self.width, columns)
                for count, columns in layout.blocks
            ]
        self.up = like.new_empty(members, layout.rows, self.width)
        if start is not None:
            torch.mul(start.B, scale, out=self.up[..., r:])

    @torch.no_grad()
    def fill(self) -> None:
        """Compute the factors from the trained numbers as they are now."""
        r = self._parts.layout.rank
        if self._start is None:
            torch.mul(self._parts.B, self._scale, out=self.up)
            if self.down is not self._parts.A:
                for down, A in zip(self.down, self._parts.A, strict=True):
                    down.copy_(A)
            return
        torch.mul(self._parts.B - self._start.B, self._scale, out=self.up[..., :r])
        for down, A, A0 in zip(self.down, self._parts.A, self._start.A, strict=True):
            down[:, :, :r].copy_(A)
            torch.sub(A, A0, out=down[:, :, r:])


class RowFactors:
    """DoRA's c = m / ||W + up down|| of each row, as c - 1, in float32.

    A factor rounded to a short dtype would move in steps of half a percent, and so would
    y + y (c - 1) of a rounded y: both stay float32 until they are multiplied.

    The norm of a row is expanded to ||W||^2 + 2 <W, up down> + ||up down||^2: no product of the
    size of W is formed, and those of the factors only for the members that have an m.

    Args:
        weights: The base weight of each target, `[d_out, d_in]`.
        parts: The trained numbers, float32.
        has: Which rows have an m, bool `[members, rows]`.
        exact: The factors in float32.

    Attributes:
        ratio: c - 1, `[members, rows]`, 0 where there is no m.
        inverse: 1 / ||W + up down||, `[members, rows]`, 0 where there is no m.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], parts: Parts, has: Tensor, exact: Products
    ) -> None:
        self._weights, self._parts, self._has, self._exact = weights, parts, has, exact
        owners = has.any(1).nonzero().flatten()
        self._some: Tensor | slice = slice(None) if len(owners) == len(has) else owners
        names = [target.name for target in parts.layout.targets]
        self._squared = torch.cat([squared_rows(weights[name]) for name in names])
        self.ratio = torch.zeros_like(parts.m)
        self.inverse = torch.zeros_like(parts.m)

    @torch.no_grad()
    def fill(self) -> None:
        """Compute the factors from the trained numbers as they are now."""
        layout, some = self._parts.layout, self._some
        downs = [down[some] for down in self._exact.down]
        grams = [down @ down.transpose(2, 3) for down in downs]
        up = self._exact.up[some]
        squared = self._squared.repeat(len(up), 1)
        for target in layout.targets:
            block, place = layout.places[target.name]
            rows, weight = layout.spans[target.name], self._weights[target.name]
            down, ours = downs[block][:, place], up[:, rows]
            cross = weight @ down.reshape(-1, target.columns).to(weight.dtype).T
            by_member = cross.float().view(target.rows, len(up), -1).transpose(0, 1)
            terms = torch.baddbmm(by_member, ours, grams[block][:, place], beta=2)
            squared[:, rows] += terms.mul_(ours).sum(2)
        inverse = squared.clamp_(min=NORM_FLOOR).rsqrt_() * self._has[some]
        self.inverse[some] = inverse
        self.ratio[some] = (self._parts.m[some] * inverse - 1) * self._has[some]
