"""The first layers."""

from __future__ import annotations

from dataclasses import dataclass

from methods.layer_choice import check_at_least_one, layers_between
from methods.parts import Placement, placement
from methods.signals import Signals


@placement("first")
@dataclass(frozen=True)
class First(Placement):
    """Train the first n of the L layers: a control of `freeze` with n = L - k. **exact**."""

    n: int

    def check(self) -> None:
        """Refuse to train nothing."""
        check_at_least_one("n", self.n)

    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return layers 1..n."""
        return layers_between(1, self.n, count)
