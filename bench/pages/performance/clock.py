"""Moments between steps: a GPU's own, since what was sent to it is not done yet."""

from __future__ import annotations

import time
from itertools import pairwise
from statistics import median

import torch


class Stamps:
    """Moments in the work of one device.

    On a GPU they are CUDA events in its queue: waiting for the GPU at every step would add to the
    time that is measured.

    Args:
        device: Such as `cpu` or `cuda:0`.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._seconds: list[float] = []
        self._events: list[torch.cuda.Event] = []

    def stamp(self, *_: object) -> None:
        """Remember this moment; whatever arguments a callback gets are ignored."""
        if self._device.type != "cuda":
            self._seconds.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        self._events.append(event)

    def gap(self) -> float:
        """Return the median seconds between moments; there must be two at least."""
        if self._events:
            self._events[-1].synchronize()
            return median(a.elapsed_time(b) / 1e3 for a, b in pairwise(self._events))
        return median(b - a for a, b in pairwise(self._seconds))


def settled() -> float:
    """Return the time in seconds, all work of the GPUs done that this process has begun."""
    if torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            torch.cuda.synchronize(index)
    return time.perf_counter()
