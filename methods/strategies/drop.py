"""Drop the facts at one end of the semantic distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.fact_filter import DistanceFilter, Side, kept_count, without_side
from methods.parts import strategy
from methods.signals import Signals

if TYPE_CHECKING:
    from torch import Tensor


@strategy("drop")
@dataclass(frozen=True)
class Drop(DistanceFilter):
    """Drop the facts farthest from their targets, or the nearest ones.

    A control for `filter` that keeps as many facts, k = round((1 - rho) n) of n. Among facts at
    the same distance, those that come first are kept. **exact**.

    Attributes:
        side: Which facts to drop: `far` or `near`.
    """

    side: Side = "far"

    def keep(self, signals: Signals, seed: int) -> Tensor:
        """Return all but one end of the sorted distances."""
        distances = self.distances(signals)
        return without_side(distances, kept_count(len(distances), self.rho), self.side)
