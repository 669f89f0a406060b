"""A few layers at a relative depth."""

from __future__ import annotations

from dataclasses import dataclass

from methods.layer_choice import check_at_least_one, layers_between
from methods.parts import Placement, placement
from methods.signals import Signals
from tasks.errors import UsageError


@placement("depth")
@dataclass(frozen=True)
class Depth(Placement):
    """Train n layers at a relative depth, by default one at 0.72 of it.

    The last of them is layer round(at L) of L, counted from 1. With `modules=down` and n = 1 it is
    where the code of the paper trains Llama-3-8B: the down projection of layer 23 of 32. It trains
    that matrix itself. The choice was made for each model: layer 7 of 28 of Qwen2.5-7B, and all of
    layer 24 of 32 of Mistral-7B. **exact**, arXiv 2509.22072.

    Attributes:
        at: The relative depth, above 0 and at most 1, which is the last layer.
        n: Number of layers to train.
    """

    at: float = 0.72
    n: int = 1

    paper = "2509.22072"

    def check(self) -> None:
        """Refuse a depth outside the model, and n below 1."""
        check_at_least_one("n", self.n)
        if not 0 < self.at <= 1:
            raise UsageError(f"at={self.at:g}: the relative depth must be above 0 and at most 1")

    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return the n layers up to round(at L), the first layer at the least."""
        last = max(1, round(self.at * count))
        return layers_between(last - self.n + 1, last, count)
