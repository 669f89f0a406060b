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
    """Keep the facts with the least mean(z) - lam var(z). **rebuilt**, 2405.18292.

    z = (d - mean) / sd `[facts]` of the target distances d; `scale=raw` takes d itself. Of all
    sets of round((1 - rho) n) facts the best: the criterion is from reviews, the solver ours.
    """

    lam: float = 1.0
    scale: Scale = "std"

    certainty, paper = "rebuilt", "2405.18292"

    def check(self) -> None:
        """Refuse what is no share, and a lam for which no block is optimal."""
        super().check()
        check_lam(self.lam)

    def keep(self, signals: Signals, seed: int) -> Tensor:
        """Return the exact optimum."""
        return best_facts(self.distances(signals), self.rho, self.lam, self.scale)
