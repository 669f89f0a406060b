"""Weights with mean 1 within bounds: w = clip(c u, low, high), solved for c. **rebuilt**."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.encoder import Encoded
from methods.parts import Weights
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

Shape = Literal["softmax", "linear"]

LOWEST = 0.2
HIGHEST = 5.0

SMALLEST = 1e-6
"""The smallest tau, and the smallest u: `linear` with sign -1 could go below 0."""


@dataclass(frozen=True)
class DistanceWeights(Encoded, Weights):
    """Weights that depend on semantic distance.

    Attributes:
        refresh: Measure distances again every this many epochs, on the answers of the model in
            training; none keeps those of the base.
    """

    refresh: int | None = None

    def check(self) -> None:
        """Refuse an unknown encoder and a refresh below 1 epoch."""
        super().check()
        if self.refresh is not None and self.refresh < 1:
            raise UsageError(f"refresh={self.refresh}: it must be at least 1 epoch, or none")

    def refreshed(self, epoch: int) -> bool:
        """Return whether `refresh` epochs have passed since distances were last measured."""
        return self.refresh is not None and epoch > 1 and (epoch - 1) % self.refresh == 0


def check_shape(tau: float, beta: float) -> None:
    """Raise `UsageError` for a temperature or a slope that yields no weights."""
    if not SMALLEST <= tau < math.inf:
        raise UsageError(f"tau={tau:g}: the temperature must be at least {SMALLEST:g}")
    if not 0 <= beta < math.inf:
        raise UsageError(f"beta={beta:g}: the slope must be at least 0; sign is its direction")


def log_u(distances: Tensor, shape: Shape, tau: float, beta: float, sign: int) -> Tensor:
    """Return ln u, with u = exp(sign d / tau) (`softmax`) or u = 1 + sign beta d (`linear`).

    Args:
        distances: d, float64 `[facts]`.
        shape: Which of the two formulas.
        tau: Temperature of `softmax`.
        beta: Slope of `linear`.
        sign: +1 to learn far facts more strongly, -1 near ones.
    """
    if shape == "softmax":
        return sign * distances / tau
    return (1 + sign * beta * distances).clamp(min=SMALLEST).log()


def clipped_to_mean_one(logs: Tensor, low: float = LOWEST, high: float = HIGHEST) -> Tensor:
    """Return w = clip(c u, low, high) with c such that the mean is 1, float64 `[facts]`.

    The mean is piecewise linear and monotone in c, with edges where some c u_i reaches a bound.
    Bisection over the sorted edges finds the piece that reaches 1, on which c is solved exactly.
    It works on logarithms, because u may exceed the range of a float64.

    Args:
        logs: ln u, float64 and finite, `[facts]`, at least one.
        low: Lower bound, below 1.
        high: Upper bound, above 1.
    """
    import torch

    enters, leaves = math.log(low) - logs, math.log(high) - logs
    edges = torch.cat([enters, leaves]).sort().values
    below, above = 0, len(edges) - 1  # the mean is under 1 at one edge, at least 1 at the other
    while above - below > 1:
        middle = (below + above) // 2
        mean = (logs + edges[middle]).exp().clamp(low, high).mean()
        below, above = (below, middle) if mean >= 1 else (middle, above)
    free = (enters <= edges[below]) & (leaves >= edges[above])
    if not free.any():  # the piece is flat: rounding alone keeps it off 1
        return (logs + edges[above]).exp().clamp(low, high)
    # Not torch.where() of two numbers, which is float32.
    bound = torch.full_like(logs, low).masked_fill(leaves <= edges[below], high)[~free]
    shape = (logs - logs[free].max()).exp()
    factor = (len(logs) - bound.sum()) / shape[free].sum()
    weights = (shape * factor).clamp(low, high)
    weights[~free] = bound
    return weights
