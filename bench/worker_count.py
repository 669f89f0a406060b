"""How many processes run cells, and with how many threads each."""

from __future__ import annotations

import os

from bench.device import compute_of
from bench.options import DeviceMap, RunOptions


def worker_count(options: RunOptions) -> int:
    """Return how many processes run cells; `auto` is one for each GPU, else 1."""
    if options.workers != "auto":
        return int(options.workers)
    if options.device_map is DeviceMap.AUTO or ":" in options.device or not _on_gpu(options):
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def threads_each(workers: int) -> int:
    """Return how many threads each of several workers computes with; OMP_NUM_THREADS wins."""
    return threads_asked() or max(1, cores() // workers)


def threads_asked() -> int:
    """Return what OMP_NUM_THREADS asks for, 0 where it does not."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() else 0


def cores() -> int:
    """Return how many cores this process may use."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return here or 1


def _on_gpu(options: RunOptions) -> bool:
    return compute_of(options).device.startswith("cuda")
