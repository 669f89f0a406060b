"""Measure the time and peak memory of each phase, as if nothing had been cached."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch

from bench.store.cost_cache import CostCache
from bench.store.records import Phase, PhaseName


class PhaseClock:
    """Measures the phases of one cell.

    Args:
        devices: The devices that hold the model.
        cache: The cache; the time that it saves is charged to the running phase.
    """

    def __init__(self, devices: Sequence[torch.device], cache: CostCache) -> None:
        self.phases: dict[PhaseName, Phase] = {}
        self._gpus = [device for device in devices if device.type == "cuda"]
        self._cache = cache

    @contextmanager
    def phase(self, name: PhaseName) -> Iterator[None]:
        """Measure the block, even if it raises."""
        gc.collect()
        _reset_peak(self._gpus)
        saved, started = self._cache.saved, time.perf_counter()
        try:
            yield
        finally:
            for device in self._gpus:
                torch.cuda.synchronize(device)
            seconds = time.perf_counter() - started
            cold = seconds + self._cache.saved - saved
            peak = peak_bytes(self._gpus)
            self.phases[name] = Phase(seconds=seconds, seconds_cold=cold, peak_bytes=peak)


def _reset_peak(gpus: Sequence[torch.device]) -> None:
    for device in gpus:
        torch.cuda.reset_peak_memory_stats(device)
    if gpus:
        return
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)  # else a phase is charged what one before it freed
    clear = Path("/proc/self/clear_refs")
    with suppress(OSError):
        clear.write_text("5")  # resets VmHWM to the memory in use now


def peak_bytes(gpus: Sequence[torch.device] = ()) -> int:
    """Return the peak memory since the last reset: of the GPUs, else of the process."""
    if gpus:
        return sum(torch.cuda.max_memory_allocated(device) for device in gpus)
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return psutil.Process().memory_info().rss
