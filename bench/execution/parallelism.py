"""How many processes run cells, and how many threads each of them uses."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from bench.config.options import DeviceMap, Executor, RunOptions
from bench.models.device import (
    Compute,
    card_memory,
    compute_of,
    cores,
    dtype_notes,
    free_memory,
)
from bench.models.shape import weights_of
from bench.planning.memory_notes import Place, largest_need, memory_notes
from bench.planning.planned_cell import PlannedCell
from bench.planning.stacking import may_stack

MOST_PER_GPU = 4
"""More workers on one GPU take turns rather than run at the same time."""

WORKER_BYTES = 3 * 2**30
"""Memory of a worker outside its GPU: Python, the libraries of CUDA and a model being loaded."""

WORTH_A_PROCESS = 50e6
"""With this many weights, a cell takes longer than starting a process for it, about 8 s."""

COPIES, SPARE_BYTES = 4, 2**30
"""Memory of a worker on the CPU: a base, a trained copy and its two Adam moments in float32, plus
libraries and a batch: 3.0 GiB for SmolLM2-135M, for which CorDA has used 3.1."""


def worker_count(options: RunOptions, cells: Sequence[PlannedCell]) -> int:
    """Return how many processes run cells, at most one per cell.

    `auto` means one per GPU, which trains several cells together; with `--stack 1` it means as many
    per GPU as memory and cores allow. On the CPU it means one per core as far as memory allows: two
    cells at once with one thread each finish sooner than one after the other with two threads.
    """
    if options.workers != "auto":
        return min(int(options.workers), len(cells))
    if options.device_map is DeviceMap.AUTO:
        return 1
    device = compute_of(options).device
    if device.startswith("cuda"):
        count = gpus(options)
        together = stacks(options) and any(map(may_stack, cells))
        each = 1 if together else _on_each_gpu(device, count, cells)
        return max(1, min(count * each, len(cells)))
    if device != "cpu":
        return 1
    weights = [weights_of(source) for source in {cell.source for cell in cells}]
    largest = max((count or math.inf for count in weights), default=math.inf)
    if largest < WORTH_A_PROCESS:
        return 1
    fit = free_memory() / (COPIES * 4 * largest + SPARE_BYTES)
    return max(1, min(len(cells), cores() // (threads_asked() or 1), int(fit)))


def gpus(options: RunOptions) -> int:
    """Return how many GPUs of this machine a run uses: the one that it names, or all."""
    if ":" in options.device:
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def place_of(options: RunOptions, compute: Compute, workers: int) -> Place | None:
    """Return what memory the workers of a run share; None if they run on other machines.

    Args:
        options: The options of the run.
        compute: Its device and dtype.
        workers: How many workers it has.
    """
    if options.executor is not Executor.LOCAL:
        return None
    if not compute.device.startswith("cuda"):
        return Place("this machine", free_memory(), max(1, workers))
    count = gpus(options)
    if options.device_map is DeviceMap.AUTO:
        whole = sum(card_memory(f"cuda:{index}") for index in range(count))
        return Place(f"all of {count} GPUs", whole)
    shared = max(1, math.ceil(workers / count))
    return Place(compute.device, card_memory(compute.device), shared)


def limits(
    options: RunOptions, compute: Compute, workers: int, cells: Sequence[PlannedCell]
) -> list[str]:
    """Say what the machine cannot do of what cells would need: memory, and units for bfloat16.

    Args:
        options: The options of the run.
        compute: Its device and dtype.
        workers: How many workers it has.
        cells: The cells that will run.
    """
    place = place_of(options, compute, workers)
    if place is None:
        return []
    stacked = int(options.stack) if options.stack.isdecimal() else 1
    return [*dtype_notes(options, compute), *memory_notes(cells, place, stacked)]


def stacks(options: RunOptions) -> bool:
    """Return whether a run on a GPU trains several cells together in one process."""
    return options.stack != "1"


def _on_each_gpu(device: str, count: int, cells: Sequence[PlannedCell]) -> int:
    """Return how many workers share a GPU, by its memory, that of the machine, and cores."""
    largest = largest_need(cells)
    if largest is None:
        return 1
    fit = card_memory(device) / largest, free_memory() / WORKER_BYTES / count, cores() / count
    return max(1, min(MOST_PER_GPU, *map(int, fit)))


def threads_each(workers: int) -> int:
    """Return how many threads each of several workers uses; OMP_NUM_THREADS takes precedence."""
    return threads_asked() or max(1, cores() // workers)


def threads_asked() -> int:
    """Return the value of OMP_NUM_THREADS; 0 if it is not set to a number."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() else 0
