"""The constants of the training loop that are part of a cell's identity, defined only here.

They stand apart from the loop because planning needs them without importing torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from bench.config.types import Schedule

VERSION = 2
"""Version of the training loop. Raise it when its numbers change for any reason other than the
values below: every cell then runs again. `tests/bench/test_golden_numbers.py` tells you when."""

CLIP_NORM = 1.0
WEIGHT_DECAY = 0.0


def describe() -> str:
    """Return what training uses beyond its options, as a cell's specification records it."""
    return f"adamw,clip={CLIP_NORM},weight_decay={WEIGHT_DECAY:g},version={VERSION}"


def rate_factor(schedule: Schedule, warmup: float, steps: int) -> Callable[[int], float]:
    """Return a function of the step, from 0: the factor on the learning rate over `steps` steps.

    It rises linearly over the first steps and is 1 at the last of them.

    Args:
        schedule: What follows the warm-up: a cosine that falls to 0, or 1 throughout.
        warmup: Share of the steps in which it rises.
        steps: Total number of optimizer steps.
    """
    rising = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        if schedule is Schedule.CONSTANT:
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return factor
