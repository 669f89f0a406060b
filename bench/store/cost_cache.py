"""Values that cells share, within a process and between processes, with their cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from bench.optimizations import Optimization, enabled
from bench.store.base_cache import Kept, KeptValues

T = TypeVar("T")


@dataclass(frozen=True)
class Shared(Generic[T]):
    """A value that every process of a run needs and one of them can compute for all.

    Attributes:
        key: What the value is and what it belongs to, the same in every process.
        compute: Computes it.
        kind: Its type, as pydantic reads and writes it.
    """

    key: tuple[str, ...]
    compute: Callable[[], T]
    kind: Any


@dataclass
class _Entry:
    """A value, the keys of values that it needed, and the seconds that it took without these.

    While it is being computed, `seconds` is what the values that it needed have taken so far.
    """

    value: Any = None
    seconds: float = 0.0
    needs: set[Hashable] = field(default_factory=set)


class CostCache:
    """Values that cells share, each with the seconds that it took to compute.

    A cell that finds a value is charged its cost once, in `seconds_cold`, so that tables show
    what the cell costs on its own, whatever ran before it or elsewhere.

    Args:
        kept: The stored values that processes share; None: share nothing.
    """

    def __init__(self, kept: KeptValues | None = None) -> None:
        self._kept = kept
        self._entries: dict[Hashable, _Entry] = {}
        self._open: list[_Entry] = []
        self._charged: set[Hashable] = set()
        self.saved = 0.0

    def __contains__(self, key: Hashable) -> bool:
        """Return whether this process has the value of `key`."""
        return key in self._entries

    def start_cell(self) -> None:
        """Forget what the previous cell was charged for."""
        self._charged = set()
        self.saved = 0.0

    def clear(self) -> None:
        """Forget all values, because they belong to a base that is no longer loaded."""
        self._entries.clear()
        self.start_cell()

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of `key`, computing it on first use."""
        return self._get(key, lambda: self._computed(compute))

    def get_shared(self, wanted: Shared[T]) -> T:
        """Return a value that processes share: compute it, or read it if another has done so."""
        return self._get(wanted.key, lambda: self._found_or_computed(wanted))

    def prepare(self, wanted: Shared[Any]) -> None:
        """Compute a shared value unless another process has it or is at it; charge it when used."""
        if wanted.key in self:
            return
        charged, saved = set(self._charged), self.saved
        kept = self._kept_values()
        with kept.lock_if_free(wanted.key) if kept else nullcontext(True) as free:
            if free and not (kept and kept.read(wanted.key, wanted.kind)):
                self._entries[wanted.key] = self._computed_and_kept(wanted, kept)
        self._charged, self.saved = charged, saved

    def _kept_values(self) -> KeptValues | None:
        return self._kept if enabled(Optimization.KEPT_BASE) else None

    def _get(self, key: Hashable, make: Callable[[], _Entry]) -> Any:
        spent = 0.0
        if key in self._entries:
            self._charge(key)  # takes no time, and waiting here would take some
        else:
            started = _settled()
            self._entries[key] = make()
            self._charged.add(key)
            spent = _settled() - started
        if self._open:
            self._open[-1].needs.add(key)
            self._open[-1].seconds += spent
        return self._entries[key].value

    def _charge(self, key: Hashable) -> None:
        if key in self._charged or key not in self._entries:
            return
        self._charged.add(key)
        self.saved += self._entries[key].seconds
        for needed in self._entries[key].needs:
            self._charge(needed)

    def _computed(self, compute: Callable[[], Any]) -> _Entry:
        entry, started = _Entry(), _settled()
        self._open.append(entry)
        try:
            entry.value = compute()
        finally:
            self._open.pop()
        entry.seconds = _settled() - started - entry.seconds
        return entry

    def _found_or_computed(self, wanted: Shared[Any]) -> _Entry:
        kept = self._kept_values()
        if kept is None:
            return self._computed(wanted.compute)
        started = time.perf_counter()
        with kept.lock(wanted.key):
            found = kept.read(wanted.key, wanted.kind)
            if found is None:
                return self._computed_and_kept(wanted, kept)
        # The time spent waiting for the other process is not part of the cost.
        self.saved += found.seconds - (time.perf_counter() - started)
        return _Entry(found.value, found.seconds)

    def _computed_and_kept(self, wanted: Shared[Any], kept: KeptValues | None) -> _Entry:
        entry = self._computed(wanted.compute)
        if kept is not None:
            kept.write(wanted.key, wanted.kind, Kept(entry.value, entry.seconds))
        return entry


def _settled() -> float:
    """Return the time, in seconds, once the GPU has done all that it was given.

    Otherwise work that is still queued would be charged to whoever waits for the GPU next.
    """
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
