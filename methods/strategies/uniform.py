"""Weight all facts equally; a control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.parts import Weights, strategy
from methods.signals import Signals

if TYPE_CHECKING:
    from torch import Tensor


@strategy("uniform")
@dataclass(frozen=True)
class Uniform(Weights):
    """Give every kept fact the same weight; a control for `reweight`.

    w = 1 for each kept fact of `[facts]`. **exact**.
    """

    def weights(self, signals: Signals, kept: Tensor, seed: int) -> Tensor:
        """Return 1 for kept facts and 0 for the others."""
        return kept.double()
