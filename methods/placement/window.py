"""A range of layers."""

from __future__ import annotations

from dataclasses import dataclass

from methods.layer_choice import check_at_least_one, layers_between
from methods.parts import Placement, placement
from methods.signals import Signals
from tasks.errors import UsageError


@placement("window")
@dataclass(frozen=True)
class Window(Placement):
    """Train layers first..last of 1..L, both inclusive: a sweep's range. **exact**, 2406.04496.

    `window[first=1,last=10]` trains the ten layers nearest to the input.
    """

    first: int
    last: int

    paper = "2406.04496"

    def check(self) -> None:
        """Refuse an empty range."""
        check_at_least_one("first", self.first)
        if self.last < self.first:
            raise UsageError(f"last={self.last}: it must be at least first={self.first}")

    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return the range."""
        return layers_between(self.first, self.last, count)
