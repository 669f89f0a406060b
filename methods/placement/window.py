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
    """Train only decoder layers `first` to `last`, as sweeps over layers do.

    Layers are counted from 1 and both ends are included: `window[first=1,last=10]` trains the ten
    layers nearest to the input. **exact**, arXiv 2406.04496.

    Attributes:
        first: The lowest layer to train.
        last: The highest layer to train.
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
        """Return layers first..last."""
        return layers_between(self.first, self.last, count)
