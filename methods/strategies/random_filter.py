"""Drop facts at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.fact_filter import check_share, kept_count
from methods.parts import Filter, strategy
from methods.signals import Signals

if TYPE_CHECKING:
    from torch import Tensor


@strategy("random_filter")
@dataclass(frozen=True)
class RandomFilter(Filter):
    """Keep k = round((1 - rho) n) facts `[facts]` drawn by the cell's seed. **exact**.

    The control of `filter`, which it equals in size.
    """

    rho: float = 0.2

    def check(self) -> None:
        """Refuse what is no share."""
        check_share(self.rho)

    def keep(self, signals: Signals, seed: int) -> Tensor:
        """Return a random choice."""
        import torch

        count = len(signals.facts)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        return order < kept_count(count, self.rho)
