"""Measure the time and peak memory of each phase, as if nothing had been cached."""

from __future__ import annotations

import copy
import ctypes
import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch

from bench.store.cost_cache import CostCache
from bench.store.records import Phase, PhaseName


class PhaseClock:
    """Measures the phases of one cell.

    A phase may be entered again: what it spent is added up. One that is entered within another
    takes its own time and memory out of that one, as checkpoints do within training.

    Args:
        devices: The devices that hold the model.
        cache: The cache; the time that it saves is charged to the running phase.
    """

    def __init__(self, devices: Sequence[torch.device], cache: CostCache) -> None:
        self.phases: dict[PhaseName, Phase] = {}
        self._gpus = [device for device in devices if device.type == "cuda"]
        self._cache = cache
        self._open: list[_Spent] = []

    @contextmanager
    def phase(self, name: PhaseName) -> Iterator[None]:
        """Measure the block, even if it raises."""
        outer = self._open[-1] if self._open else None
        self._settle()  # what is still queued belongs to what ran before
        if outer is not None:
            outer.pause(self._cache.saved, peak_bytes(self._gpus))
        gc.collect()
        _reset_peak(self._gpus)
        spent = _Spent(self._cache.saved)
        self._open.append(spent)
        try:
            yield
        finally:
            self._settle()
            self._open.pop()
            spent.pause(self._cache.saved, peak_bytes(self._gpus))
            self.phases[name] = spent.added_to(self.phases.get(name))
            if outer is not None:
                _reset_peak(self._gpus)
                outer.resume(self._cache.saved)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the block out of the phase that is open."""
        self._settle()
        spent = self._open[-1]
        spent.pause(self._cache.saved, peak_bytes(self._gpus))
        try:
            yield
        finally:
            _reset_peak(self._gpus)
            spent.resume(self._cache.saved)

    def so_far(self, name: PhaseName) -> dict[PhaseName, Phase]:
        """Return what all phases have spent, with the innermost open one, which is `name`."""
        spent = self._open[-1].so_far(self._cache.saved, peak_bytes(self._gpus))
        return {**self.phases, name: spent.added_to(self.phases.get(name))}

    def _settle(self) -> None:
        for device in self._gpus:
            torch.cuda.synchronize(device)

    def charge(self, shared: Mapping[PhaseName, Phase], cells: int) -> None:
        """Add this cell's share of phases that several cells went through together.

        Args:
            shared: What they spent; the peak is that of all of them, and is not divided.
            cells: How many they were.
        """
        for name, phase in shared.items():
            before = self.phases.get(name) or Phase(seconds=0.0, seconds_cold=0.0, peak_bytes=0)
            self.phases[name] = Phase(
                seconds=before.seconds + phase.seconds / cells,
                seconds_cold=before.seconds_cold + phase.seconds_cold / cells,
                peak_bytes=max(before.peak_bytes, phase.peak_bytes),
            )


class _Spent:
    """What an open phase has spent so far, without the phases within it.

    Args:
        saved: Seconds that the cache has saved by now.
    """

    def __init__(self, saved: float) -> None:
        self.seconds = self.saved = 0.0
        self.peak = 0
        self.resume(saved)

    def resume(self, saved: float) -> None:
        """Start counting."""
        self._started, self._saved = time.perf_counter(), saved

    def pause(self, saved: float, peak: int) -> None:
        """Stop counting; `peak` is the peak memory since counting started, in bytes."""
        self.seconds += time.perf_counter() - self._started
        self.saved += saved - self._saved
        self.peak = max(self.peak, peak)

    def so_far(self, saved: float, peak: int) -> _Spent:
        """Return what it has spent by now, while it goes on."""
        now = copy.copy(self)
        now.pause(saved, peak)
        return now

    def added_to(self, earlier: Phase | None) -> Phase:
        """Return the phase with what was spent on it before."""
        before = earlier or Phase(seconds=0.0, seconds_cold=0.0, peak_bytes=0)
        return Phase(
            seconds=before.seconds + self.seconds,
            seconds_cold=before.seconds_cold + self.seconds + self.saved,
            peak_bytes=max(before.peak_bytes, self.peak),
        )


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
