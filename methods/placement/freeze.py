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
    """Freeze the lower layers, up to the largest drop in layer deviation.

    Layers 1 to k and the embeddings stay frozen, where k has the largest gain, computed from the
    layer deviations `[L + 1]`. **rebuilt**, arXiv 2406.11753.

    Attributes:
        gain: Gain of layer k: `drop` is dev_(k-1) - dev_k, `ratio` is ln dev_(k-1) - ln dev_k,
            `power` is ratio / (ln(k+1) - ln k).
        budget: Train at most this many layers, the last ones; none sets no limit.
        norm: `final` applies the model's final norm to the states of every layer, `raw` to none.
    """

    gain: Gain = "drop"
    budget: int | None = None
    norm: Norm = "final"

    certainty, paper = "rebuilt", "2406.11753"

    def check(self) -> None:
        """Refuse a budget below 1, which would train nothing."""
        check_at_least_one("budget", self.budget)

    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return layers k+1..L, at most the last `budget`."""
        cut = cut_layer(signals.layer_deviation(self.norm).curve, self.gain)
        return layers_above(cut, count, self.budget)

    def notes(self, signals: Signals, layers: tuple[int, ...]) -> Sequence[Notes]:
        """Return the cut, how stable it is, and the curve behind it."""
        return (cut_notes(signals.layer_deviation(self.norm), self.gain),)
