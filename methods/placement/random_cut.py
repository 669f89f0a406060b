"""Freeze the layers below a random cut; a control."""

from __future__ import annotations

from dataclasses import dataclass

from methods.layer_choice import check_at_least_one, check_cuttable, layers_above
from methods.parts import Placement, placement
from methods.signals import Signals
from tasks.fact import hash_fraction


@placement("random_cut")
@dataclass(frozen=True)
class RandomCut(Placement):
    """Freeze the layers below a random cut; a control for `freeze`.

    Layers 1 to k and the embeddings stay frozen; the cell's seed draws k uniformly from 1 to L - 1.
    **exact**.

    Attributes:
        budget: Train at most this many layers, the last ones; none sets no limit.
    """

    budget: int | None = None

    def check(self) -> None:
        """Refuse a budget below 1, which would train nothing."""
        check_at_least_one("budget", self.budget)

    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return layers k+1..L, at most the last `budget`."""
        check_cuttable(count)
        cut = 1 + int(hash_fraction("random cut", str(seed)) * (count - 1))
        return layers_above(cut, count, self.budget)
