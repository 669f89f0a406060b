"""The last layers."""

from __future__ import annotations

from dataclasses import dataclass

from methods.layer_choice import check_at_least_one, layers_between
from methods.parts import Placement, placement
from methods.signals import Signals


@placement("last")
@dataclass(frozen=True)
class Last(Placement):
    """Train the last n of the L layers: the control of `freeze` with n = L - k. **exact**."""

    n: int

    def check(self) -> None:
        """Refuse to train nothing."""
        check_at_least_one("n", self.n)

    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return layers L-n+1..L."""
        return layers_between(count - self.n + 1, count, count)
