"""How many processes run cells, and how many threads each of them uses."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress

import psutil

from bench.config.options import DeviceMap, RunOptions
from bench.models.device import CONTAINER, compute_of, cores
from bench.planning.cost_estimate import weights_of
from bench.planning.planned_cell import PlannedCell

WORTH_A_PROCESS = 50e6
"""With this many weights, a cell takes longer than starting a process for it, about 8 s."""

COPIES, SPARE_BYTES = 4, 2**30
"""Memory of a worker on the CPU: a base, a trained copy and its two Adam moments in float32, plus
libraries and a batch: 3.0 GiB for SmolLM2-135M, for which CorDA has used 3.1."""


def worker_count(options: RunOptions, cells: Sequence[PlannedCell]) -> int:
    """Return how many processes run cells, at most one per cell.

    `auto` means one per GPU. On the CPU it means one per core as far as memory allows: two cells
    at once with one thread each finish sooner than one after the other with two threads.
    """
    if options.workers != "auto":
        return min(int(options.workers), len(cells))
    if options.device_map is DeviceMap.AUTO or ":" in options.device:
        return 1
    device = compute_of(options).device
    if device.startswith("cuda"):
        import torch

        return max(1, min(torch.cuda.device_count(), len(cells)))
    if device != "cpu":
        return 1
    weights = [weights_of(source) for source in {cell.source for cell in cells}]
    largest = max((count or math.inf for count in weights), default=math.inf)
    if largest < WORTH_A_PROCESS:
        return 1
    fit = _free_memory() / (COPIES * 4 * largest + SPARE_BYTES)
    return max(1, min(len(cells), cores() // (threads_asked() or 1), int(fit)))


def threads_each(workers: int) -> int:
    """Return how many threads each of several workers uses; OMP_NUM_THREADS takes precedence."""
    return threads_asked() or max(1, cores() // workers)


def threads_asked() -> int:
    """Return the value of OMP_NUM_THREADS; 0 if it is not set to a number."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() else 0


def _free_memory() -> int:
    free: int = psutil.virtual_memory().available
    with suppress(OSError, ValueError):
        limit = int((CONTAINER / "memory.max").read_text())
        free = min(free, limit - int((CONTAINER / "memory.current").read_text()))
    return free
