"""Weigh all facts alike."""

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
    """w = 1 for every kept fact `[facts]`: the control of `reweight`. **exact**."""

    def weights(self, signals: Signals, kept: Tensor, seed: int) -> Tensor:
        """Return ones."""
        return kept.double()
