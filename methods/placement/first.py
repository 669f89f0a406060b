"""The first layers."""

from __future__ import annotations

from dataclasses import dataclass

from methods.layer_choice import check_at_least_one, layers_between
from methods.parts import Placement, placement
from methods.signals import Signals


@placement("first")
@dataclass(frozen=True)
class First(Placement):
    """Train only the first n decoder layers; a control for `freeze`.

    With n = L - k it trains as many of the L layers as `freeze` does with cut k. **exact**.

    Attributes:
        n: Number of layers to train, counted from the input.
    """

    n: int

    def check(self) -> None:
        """Refuse n below 1, which would train nothing."""
        check_at_least_one("n", self.n)

    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return layers 1..n."""
        return layers_between(1, self.n, count)
