"""The constants of the training loop that are part of a cell's identity, defined only here.

They stand apart from the loop because planning needs them without importing torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

VERSION = 1
"""Version of the training loop. Raise it when its numbers change for any reason other than the
values below: every cell then runs again. `tests/bench/test_golden_numbers.py` tells you when."""

WARMUP_SHARE = 0.1
CLIP_NORM = 1.0
WEIGHT_DECAY = 0.0


def describe() -> str:
    """Return the schedule as a cell's specification records it."""
    shape = f"warmup={WARMUP_SHARE},cosine,clip={CLIP_NORM}"
    return f"adamw,{shape},weight_decay={WEIGHT_DECAY:g},version={VERSION}"


def warmup_cosine(steps: int) -> Callable[[int], float]:
    """Return a function of the step, from 0: the factor on the learning rate over `steps` steps."""
    warmup = max(1, round(WARMUP_SHARE * steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return factor
