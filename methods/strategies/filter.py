"""Filter facts by semantic distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.fact_filter import DistanceFilter, Scale, best_facts, check_lam
from methods.parts import strategy
from methods.signals import Signals

if TYPE_CHECKING:
    from torch import Tensor


@strategy("filter")
@dataclass(frozen=True)
class SemanticFilter(DistanceFilter):
    """Keep facts whose distances to the targets are small but varied.

    Of all sets of round((1 - rho) n) of the n facts, it keeps the one with the least
    J = mean(z) - lam var(z), where z `[facts]` are target distances. The criterion is taken from
    reviews of the paper, the exact solver is ours. **rebuilt**, arXiv 2405.18292.

    Attributes:
        lam: Weight of the variance, at least 0.
        scale: `std` standardises the distances d to z = (d - mean) / sd, `raw` uses z = d.
    """

    lam: float = 1.0
    scale: Scale = "std"

    certainty, paper = "rebuilt", "2405.18292"

    def check(self) -> None:
        """Refuse rho outside [0, 1) and a negative lam."""
        super().check()
        check_lam(self.lam)

    def keep(self, signals: Signals, seed: int) -> Tensor:
        """Return the facts that minimise J exactly."""
        return best_facts(self.distances(signals), self.rho, self.lam, self.scale)
