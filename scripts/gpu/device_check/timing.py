"""Seconds of calls and of steps, and how many kernels they launch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from device_check.machine import Check

PROFILED = 4
"""Steps by which two profiled trainings differ."""


def timed(check: Check, run: Callable[[], object], repeats: int = 3) -> float:
    """Return the median seconds of a call, the first one left out; start a new peak of memory.

    Args:
        check: The check.
        run: What is timed.
        repeats: How often it counts.
    """
    run()
    check.reset_peak()
    steps = Steps(check)
    steps.stamp()
    for _ in range(repeats):
        run()
        steps.stamp()
    return steps.gap(skipped=0)


class Steps:
    """The moments at which steps ended, all work of the GPU done.

    Args:
        check: The check.
    """

    def __init__(self, check: Check) -> None:
        self._check = check
        self._stamps: list[float] = []

    def stamp(self, *_: object) -> None:
        """Remember this moment; whatever arguments a callback gets are ignored."""
        self._stamps.append(self._check.settled())

    def gap(self, skipped: int = 2) -> float:
        """Return the median seconds between moments, without the first ones, which are slow."""
        return median(b - a for a, b in pairwise(self._stamps[skipped:]))


def launches(check: Check, train: Callable[[int], object]) -> dict[str, float]:
    """Count the kernels of a step, and for how long the GPU is busy with them.

    A training of twice as many steps is compared with a shorter one: what both do besides, such as
    a last look at all facts, cancels out.

    Args:
        check: The check.
        train: Trains as many steps as it is told.

    Returns:
        Columns of a table; none on a CPU.
    """
    if not check.on_gpu:
        return {}
    few, more = (_kernels(partial(train, steps)) for steps in (PROFILED, 2 * PROFILED))
    kernels, busy = (b - a for a, b in zip(few, more, strict=True))
    return {"kernels": kernels / PROFILED, "GPU busy ms": busy / PROFILED}


def _kernels(run: Callable[[], object]) -> tuple[float, float]:
    """Return the number of kernels of a run, and for how many milliseconds they keep the GPU."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        run()
    ran = [event for event in seen.events() if "CUDA" in str(event.device_type)]
    return len(ran), sum(event.self_device_time_total for event in ran) / 1e3
