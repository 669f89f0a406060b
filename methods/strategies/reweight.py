"""Weight facts by semantic distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.parts import strategy
from methods.signals import Signals
from methods.weighting import DistanceWeights, Shape, check_shape, clipped_to_mean_one, log_u

if TYPE_CHECKING:
    from torch import Tensor


@strategy("reweight")
@dataclass(frozen=True)
class Reweight(DistanceWeights):
    """Weight each fact in the loss by its distance to the target.

    w = clip(c u, 0.2, 5) `[facts]`, with c chosen so that the mean is 1 and u computed from the
    target distance d. **rebuilt**, arXiv 2405.18292.

    Attributes:
        shape: `softmax` is u = exp(sign d / tau), `linear` is u = 1 + sign beta d.
        tau: Temperature of `softmax`, above 0.
        beta: Slope of `linear`, at least 0.
        sign: 1 learns far facts more strongly, -1 near ones.
    """

    shape: Shape = "softmax"
    tau: float = 0.5
    beta: float = 1.0
    sign: Literal[1, -1] = 1
    certainty, paper = "rebuilt", "2405.18292"

    def check(self) -> None:
        """Refuse a temperature or a slope that yields no weights."""
        super().check()
        check_shape(self.tau, self.beta)

    def weights(self, signals: Signals, kept: Tensor, seed: int) -> Tensor:
        """Return weights with mean 1 over the kept facts, and 0 for the others."""
        weights, distances = kept.double(), self.distances(signals)[kept]
        logs = log_u(distances, self.shape, self.tau, self.beta, self.sign)
        weights[kept] = clipped_to_mean_one(logs)
        return weights
