"""The values that the training loop uses and a cell's identity holds: typed here and nowhere else.

Apart from the loop, since planning names them without importing torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

VERSION = 1
"""Of the training loop: raise it when its numbers move for another reason than the values below;
every cell then runs again. `tests/bench/test_golden_numbers.py` says when."""

WARMUP_SHARE = 0.1
CLIP_NORM = 1.0
WEIGHT_DECAY = 0.0


def describe() -> str:
    """Return the schedule as a cell's specification holds it."""
    shape = f"warmup={WARMUP_SHARE},cosine,clip={CLIP_NORM}"
    return f"adamw,{shape},weight_decay={WEIGHT_DECAY:g},version={VERSION}"


def warmup_cosine(steps: int) -> Callable[[int], float]:
    """Return the factor on the learning rate at each of so many steps, counted from 0."""
    warmup = max(1, round(WARMUP_SHARE * steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return factor
