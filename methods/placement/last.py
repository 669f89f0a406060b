"""The last layers."""

from __future__ import annotations

from dataclasses import dataclass

from methods.layer_choice import check_at_least_one, layers_between
from methods.parts import Placement, placement
from methods.signals import Signals


@placement("last")
@dataclass(frozen=True)
class Last(Placement):
    """Train only the last n decoder layers; a control for `freeze`.

    With n = L - k it trains exactly the layers that `freeze` trains with cut k. **exact**. The late
    layer in which arXiv 2509.22072 edits is none of the last ones: see `depth`.

    Attributes:
        n: Number of layers to train, counted from the output.
    """

    n: int

    def check(self) -> None:
        """Refuse n below 1, which would train nothing."""
        check_at_least_one("n", self.n)

    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return layers L-n+1..L."""
        return layers_between(count - self.n + 1, count, count)
