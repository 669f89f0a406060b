"""What cells share, in one process and among several, with what it cost to compute."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from bench.optimizations import Optimization, enabled
from bench.store.base_cache import Kept, KeptValues

T = TypeVar("T")


@dataclass(frozen=True)
class Shared(Generic[T]):
    """A value that every process of a run needs and one of them can compute for all.

    Attributes:
        key: What it is and what it is of: the same in every process, another for another value.
        compute: Computes it.
        kind: Its type, as pydantic reads and writes it.
    """

    key: tuple[str, ...]
    compute: Callable[[], T]
    kind: Any


@dataclass
class _Entry:
    """A value, the seconds it cost without what it is made of, and the keys of that."""

    value: Any
    seconds: float
    needs: set[Hashable] = field(default_factory=set)


@dataclass
class _Open:
    """A value that is being computed: what it needed so far, and the seconds that took."""

    needs: set[Hashable] = field(default_factory=set)
    seconds: float = 0.0


class CostCache:
    """Values that cells share, each with the seconds it cost to compute.

    A cell that finds a value is charged its cost once, in `seconds_cold`, so that tables show
    what the cell costs on its own, whatever ran before it and elsewhere.

    Args:
        kept: Where values lie that processes share; none are kept without it.
    """

    def __init__(self, kept: KeptValues | None = None) -> None:
        self._kept = kept
        self._entries: dict[Hashable, _Entry] = {}
        self._open: list[_Open] = []
        self._charged: set[Hashable] = set()
        self.saved = 0.0

    def start_cell(self) -> None:
        """Forget what the previous cell was charged for."""
        self._charged = set()
        self.saved = 0.0

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of `key`, computing it on first use."""
        return self._get(key, lambda: self._computed(compute))

    def shared(self, wanted: Shared[T]) -> T:
        """Return a value that processes share: computed here, or read once another has it."""
        return self._get(wanted.key, lambda: self._found_or_computed(wanted))

    def holds(self, wanted: Shared[Any]) -> bool:
        """Return whether this process has a shared value already."""
        return wanted.key in self._entries

    def prepare(self, wanted: Shared[Any]) -> None:
        """Compute a shared value unless another process has or does; it is charged when used."""
        if self.holds(wanted):
            return
        charged, saved = set(self._charged), self.saved
        entry = self._computed_if_free(wanted)
        if entry is not None:
            self._entries[wanted.key] = entry
        self._charged, self.saved = charged, saved

    def _get(self, key: Hashable, make: Callable[[], _Entry]) -> Any:
        started = time.perf_counter()
        if key in self._entries:
            self._charge(key)
        else:
            self._entries[key] = make()
            self._charged.add(key)
        if self._open:
            self._open[-1].needs.add(key)
            self._open[-1].seconds += time.perf_counter() - started
        return self._entries[key].value

    def _charge(self, key: Hashable) -> None:
        if key in self._charged or key not in self._entries:
            return
        self._charged.add(key)
        self.saved += self._entries[key].seconds
        for needed in self._entries[key].needs:
            self._charge(needed)

    def _computed(self, compute: Callable[[], Any]) -> _Entry:
        opened, started = _Open(), time.perf_counter()
        self._open.append(opened)
        try:
            value = compute()
        finally:
            self._open.pop()
        return _Entry(value, time.perf_counter() - started - opened.seconds, opened.needs)

    def _found_or_computed(self, wanted: Shared[Any]) -> _Entry:
        if self._kept is None or not enabled(Optimization.KEPT_BASE):
            return self._computed(wanted.compute)
        started = time.perf_counter()
        with self._kept.lock(wanted.key):
            found = self._kept.read(wanted.key, wanted.kind)
            if found is None:
                return self._computed_and_kept(wanted, self._kept)
        # What waiting for the other process took is no part of the value's cost.
        self.saved += found.seconds - (time.perf_counter() - started)
        return _Entry(found.value, found.seconds)

    def _computed_if_free(self, wanted: Shared[Any]) -> _Entry | None:
        if self._kept is None or not enabled(Optimization.KEPT_BASE):
            return self._computed(wanted.compute)
        with self._kept.lock_if_free(wanted.key) as free:
            if not free or self._kept.read(wanted.key, wanted.kind) is not None:
                return None
            return self._computed_and_kept(wanted, self._kept)

    def _computed_and_kept(self, wanted: Shared[Any], kept: KeptValues) -> _Entry:
        entry = self._computed(wanted.compute)
        kept.write(wanted.key, wanted.kind, Kept(entry.value, entry.seconds))
        return entry
