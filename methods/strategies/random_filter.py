"""Drop facts at random; a control."""

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
    """Keep a random share of the facts; a control for `filter`.

    The cell's seed draws k = round((1 - rho) n) of the n facts, as many as `filter` keeps.
    **exact**.

    Attributes:
        rho: Share of the facts to drop, in [0, 1).
    """

    rho: float = 0.2

    def check(self) -> None:
        """Refuse rho outside [0, 1)."""
        check_share(self.rho)

    def keep(self, signals: Signals, seed: int) -> Tensor:
        """Return a random choice of facts."""
        import torch

        count = len(signals.facts)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        return order < kept_count(count, self.rho)
