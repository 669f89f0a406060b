"""Freeze the layers below a random cut."""

from __future__ import annotations

from dataclasses import dataclass

from methods.layer_choice import check_at_least_one, check_cuttable, layers_above
from methods.parts import Placement, placement
from methods.signals import Signals
from tasks.fact import hash_fraction


@placement("random_cut")
@dataclass(frozen=True)
class RandomCut(Placement):
    """Freeze layers 1..k and the embeddings, k uniform in 1..L-1 by the cell's seed. **exact**.

    The control of `freeze`; `budget=b` trains at most the last b layers, as there.
    """

    budget: int | None = None

    def check(self) -> None:
        """Refuse a budget that trains nothing."""
        check_at_least_one("budget", self.budget)

    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return layers k+1..L, at most the last `budget`."""
        check_cuttable(count)
        cut = 1 + int(hash_fraction("random cut", str(seed)) * (count - 1))
        return layers_above(cut, count, self.budget)
