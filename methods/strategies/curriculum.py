"""Train facts in the order of their semantic distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.encoder import Encoded
from methods.parts import strategy
from methods.signals import Signals
from methods.training_parts import Order
from methods.turns import shuffled

if TYPE_CHECKING:
    from torch import Tensor


@strategy("curriculum")
@dataclass(frozen=True)
class Curriculum(Encoded, Order):
    """Train near facts first in each epoch, or far ones.

    Every epoch trains all kept facts once, sorted by the target distance d `[facts]` of the base's
    own answers; facts at the same distance keep their order. Batches hold neighbours, and there are
    as many as without the part. Ours: **exact** by definition.

    Attributes:
        order: `near` begins with the smallest distances, `far` with the largest; `mixed` is the
            control, which shuffles anew in each epoch: the same facts, batch sizes and steps.
    """

    order: Literal["near", "far", "mixed"] = "near"

    def sequence(self, signals: Signals, kept: Tensor, seed: int, epoch: int) -> Sequence[int]:
        """Return the kept facts by distance, or shuffled."""
        import torch

        if self.order == "mixed":
            return shuffled(int(kept.sum()), seed, epoch)
        distances = self.distances(signals)[kept]
        far = self.order == "far"
        return torch.argsort(distances, stable=True, descending=far).tolist()
