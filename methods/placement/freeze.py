"""Semantic layer freezing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from methods.layer_choice import check_at_least_one, layers_above
from methods.layer_deviation import Gain, Norm, cut_layer, cut_notes
from methods.notes import Notes
from methods.parts import Placement, placement
from methods.signals import Signals


@placement("freeze")
@dataclass(frozen=True)
class Freeze(Placement):
    """Freeze layers 1..k and the embeddings, k of the largest gain. **rebuilt**, 2406.11753.

    Gain of layer k from the deviations `[L + 1]`: `drop` dev_(k-1) - dev_k, `ratio` the drop of
    ln dev, `power` ratio / (ln(k+1) - ln k). `norm=raw` skips the final norm.
    """

    gain: Gain = "drop"
    budget: int | None = None
    norm: Norm = "final"

    certainty, paper = "rebuilt", "2406.11753"

    def check(self) -> None:
        """Refuse a budget that trains nothing."""
        check_at_least_one("budget", self.budget)

    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return layers k+1..L, at most the last `budget`."""
        cut = cut_layer(signals.layer_deviation(self.norm).curve, self.gain)
        return layers_above(cut, count, self.budget)

    def notes(self, signals: Signals, layers: tuple[int, ...]) -> Sequence[Notes]:
        """Tell the cut, how stable it is, and the curve that it comes from."""
        return (cut_notes(signals.layer_deviation(self.norm), self.gain),)
