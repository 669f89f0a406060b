"""The trained numbers of N members in one buffer, of which each member's weights are views.

Padding up to the highest rank is zero and stays zero: A and B are both zero there, so that neither
gets a gradient. A target that a member does not adapt is all padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from bench.stacking.layers import LowRank
from bench.stacking.layout import Layout, Parts
from bench.stacking.products import Products, RowFactors

Members = Sequence[Mapping[str, LowRank]]
"""The low-rank layers of each member, by the names of targets."""


class StackedParameters(nn.Module):
    """The trained numbers of all members, and what passes compute with.

    Args:
        layout: What lies where in a row.
        theta: All trained numbers, float32 `[members, numbers]`.
        start: The frozen A_0 and B_0 in the same layout; None if no member has any.
        scale: The s of each row of B, float32 `[members, rows, 1]`.
        has_m: Which rows have an m, bool `[members, rows]`.
        weights: The base weight of each target, `[d_out, d_in]`, for DoRA; may lack targets where
            no member has an m.
        dtype: The dtype of the base, in which products are computed.
        frozen: Which numbers stay as they are, bool `[members, numbers]`; None if all are trained.

    Attributes:
        theta: The numbers as a parameter of the stacked model.
        products: The factors in the dtype of the base.
        factors: DoRA's factors; None if no member has an m.
        gradient: Views of the gradient of `theta`, float32; None before `prepare_gradient`.
        running: Views of what backward passes add to, in the dtype of the base.
    """

    def __init__(
        self,
        layout: Layout,
        theta: Tensor,
        start: Tensor | None,
        scale: Tensor,
        has_m: Tensor,
        weights: Mapping[str, Tensor],
        dtype: torch.dtype,
        frozen: Tensor | None = None,
    ) -> None:
        super().__init__()
        self._frozen = frozen
        self.layout, self.dtype = layout, dtype
        self.theta = nn.Parameter(theta)
        self.parts = Parts(layout, theta)
        self._start, self._scale, self._has_m, self._weights = start, scale, has_m, weights
        started = None if start is None else Parts(layout, start)
        self.products = Products(self.parts, started, scale, dtype)
        self._exact, self.factors = self.products, None
        if bool(has_m.any()):
            if dtype != torch.float32:
                self._exact = Products(self.parts, started, scale, torch.float32)
            self.factors = RowFactors(weights, self.parts, has_m, self._exact)
        self.gradient: Parts | None = None
        self.running: Parts | None = None
        self.refresh()

    @property
    def members(self) -> int:
        """Number of members."""
        return len(self.theta)

    def refresh(self) -> None:
        """Compute anew what passes use; call it whenever trained numbers have changed."""
        self.products.fill()
        if self.factors is not None:
            if self._exact is not self.products:
                self._exact.fill()
            self.factors.fill()
        torch.autograd.graph.increment_version(self.theta)

    def subset(self, indices: Sequence[int]) -> StackedParameters:
        """Return a copy of the numbers of some members."""
        some = torch.tensor(indices, device=self.theta.device)
        return StackedParameters(
            self.layout,
            self.theta.data[some],
            None if self._start is None else self._start[some],
            self._scale[some],
            self._has_m[some],
            self._weights,
            self.dtype,
            None if self._frozen is None else self._frozen[some],
        )

    def prepare_gradient(self) -> None:
        """Make room for gradients, and set them to zero."""
        flat = torch.zeros_like(self.theta.data)
        self.gradient = self.running = Parts(self.layout, flat)
        if self.dtype != flat.dtype:
            self.running = Parts(self.layout, flat.to(self.dtype))

    def drop_gradient(self) -> None:
        """Give up the room for gradients."""
        self.gradient = self.running = None

    @torch.no_grad()
    def end_backward(self) -> None:
        """Add what a backward pass found to the gradient."""
        assert self.gradient is not None
        assert self.running is not None
        if self.running is not self.gradient:
            self.gradient.flat.add_(self.running.flat)
            self.running.flat.zero_()

    @torch.no_grad()
    def finish_gradient(self) -> Tensor:
        """Return the gradient of a step, `[members, numbers]`, with the factors that are due once.

        Backward passes leave out the s in the gradient of B, and the norms in that of m.
        """
        assert self.gradient is not None
        self.gradient.B.mul_(self._scale)
        if self.factors is not None:
            self.gradient.m.mul_(self.factors.inverse)
        if self._frozen is not None:  # Adam leaves alone what never had a gradient
            self.gradient.flat.masked_fill_(self._frozen, 0)
        return self.gradient.flat


def stacked_parameters(
    layout: Layout,
    members: Members,
    weights: Mapping[str, Tensor],
    dtype: torch.dtype,
    device: torch.device,
) -> StackedParameters:
    """Return the numbers of all members, of which their own weights become views.

    Args:
        layout: What lies where in a row.
        members: The low-rank layers of each member.
        weights: The base weight of each target, `[d_out, d_in]`.
        dtype: The dtype of the base.
        device: The device of the base.
    """
    count, rows = len(members), layout.rows
    theta = torch.zeros(count, layout.numbers, device=device)
    started = any(layer.start is not None for member in members for layer in member.values())
    start = torch.zeros_like(theta) if started else None
    scale = torch.ones(count, rows, 1, device=device)
    has_m = torch.zeros(count, rows, dtype=torch.bool, device=device)
    parts = Parts(layout, theta)
    with torch.no_grad():
        for number, layers in enumerate(members):
            for name, layer in layers.items():
                where = parts.of(number, name)
                _copy(where, layer.A, layer.B)
                scale[number, layout.spans[name]] = layer.scale
                if layer.magnitude is not None:
                    where[2].copy_(layer.magnitude)
                    has_m[number, layout.spans[name]] = True
                if layer.start is not None:
                    assert start is not None
                    _copy(Parts(layout, start).of(number, name), layer.start.A, layer.start.B)
    frozen = _frozen(members, layout, theta)
    stacked = StackedParameters(layout, theta, start, scale, has_m, weights, dtype, frozen)
    for number, layers in enumerate(members):
        for name, layer in layers.items():
            A, B, m = stacked.parts.of(number, name)
            layer.A.data, layer.B.data = A[: layer.rank], B[:, : layer.rank]
            if layer.magnitude is not None:
                layer.magnitude.data = m
    return stacked


def _frozen(members: Members, layout: Layout, theta: Tensor) -> Tensor | None:
    """Return which numbers belong to a factor that is not trained; None if there is none."""
    factors = [
        (n, name, layer) for n, layers in enumerate(members) for name, layer in layers.items()
    ]
    if all(p.requires_grad for *_, layer in factors for p in (layer.A, layer.B)):
        return None
    frozen = torch.zeros_like(theta, dtype=torch.bool)
    parts = Parts(layout, frozen)
    for number, name, layer in factors:
        A, B, _ = parts.of(number, name)
        A.fill_(not layer.A.requires_grad)
        B.fill_(not layer.B.requires_grad)
    return frozen


def _copy(where: tuple[Tensor, Tensor, Tensor], A: Tensor, B: Tensor) -> None:
    """Write factors of some rank into the first rows of A and columns of B."""
    where[0][: len(A)].copy_(A)
    where[1][:, : len(A)].copy_(B)
