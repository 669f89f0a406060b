"""What a run says while it works: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from bench.redaction import for_people

QUIET_SECONDS = 10.0
"""Least time between two plain lines of one phase."""


class Progress(Protocol):
    """What the runner reports, in this order: grid, then for each cell cell, phases, end_cell."""

    def grid(self, total: int, reused: int) -> None:
        """Start: `total` cells will run, `reused` were done before."""
        ...

    def cell(self, index: int, total: int, label: str) -> None:
        """Start cell `index`, counted from 1."""
        ...

    def phase(self, name: str, steps: int | None = None) -> None:
        """Start a phase of the cell; `steps` where their number is known."""
        ...

    def step(self, done: int, loss: float | None = None) -> None:
        """Report that `done` steps of the phase are over."""
        ...

    def note(self, line: str) -> None:
        """Say a line to people: a warning, a download, terms."""
        ...

    def end_cell(self, status: str, line: str) -> None:
        """Finish the cell with its status and one line about it."""
        ...

    def finished(self, done: int, total: int, seconds_left: float) -> None:
        """Report that `done` of `total` cells are over, where workers run them."""
        ...

    def of_worker(self, number: int) -> Progress:
        """Return where a worker's cells are shown, apart from those of others."""
        ...

    def close(self) -> None:
        """Give the terminal back; may be called more than once."""
        ...


class Silent:
    """Says nothing."""

    def grid(self, total: int, reused: int) -> None:
        """Say nothing."""

    def cell(self, index: int, total: int, label: str) -> None:
        """Say nothing."""

    def phase(self, name: str, steps: int | None = None) -> None:
        """Say nothing."""

    def step(self, done: int, loss: float | None = None) -> None:
        """Say nothing."""

    def note(self, line: str) -> None:
        """Say nothing."""

    def end_cell(self, status: str, line: str) -> None:
        """Say nothing."""

    def finished(self, done: int, total: int, seconds_left: float) -> None:
        """Say nothing."""

    def of_worker(self, number: int) -> Progress:
        """Say nothing of workers either."""
        return self

    def close(self) -> None:
        """Say nothing."""


@dataclass
class TimeLeft:
    """Estimates from what has passed: a cell by the finished ones, a phase by its steps.

    Attributes:
        now: A clock, in seconds.
    """

    now: Callable[[], float] = time.monotonic
    _durations: list[float] = field(default_factory=list)
    _waiting: int = 0
    _cell_start: float = 0.0
    _phase_start: float = 0.0

    def start_cell(self, waiting: int) -> None:
        """A cell starts; `waiting` more come after it."""
        self._cell_start, self._waiting = self.now(), waiting

    def start_phase(self) -> None:
        """A phase of the cell starts."""
        self._phase_start = self.now()

    def end_cell(self) -> float:
        """The cell is finished; return the seconds it took."""
        self._durations.append(self.now() - self._cell_start)
        return self._durations[-1]

    def in_phase(self, done: int, steps: int | None) -> float | None:
        """Return the seconds left of a phase after `done` of `steps`, None where unknown."""
        if not done or steps is None:
            return None
        return (self.now() - self._phase_start) / done * max(steps - done, 0)

    def in_cell(self) -> float | None:
        """Return the seconds left of the cell, None before one has finished."""
        if not self._durations:
            return None
        mean = sum(self._durations) / len(self._durations)
        return max(mean - (self.now() - self._cell_start), 0.0)

    def in_grid(self) -> float | None:
        """Return the seconds left of the grid, None before a cell has finished."""
        left = self.in_cell()
        if left is None:
            return None
        return left + self._waiting * sum(self._durations) / len(self._durations)


class PlainProgress:
    """One line per phase of each cell, and one every ten seconds within a long phase.

    Args:
        stream: Where lines go.
        now: A clock, in seconds.
        worker: Which worker's cells these are, empty where there are none.
    """

    def __init__(
        self, stream: TextIO, now: Callable[[], float] = time.monotonic, worker: str = ""
    ) -> None:
        self._stream = stream
        self._now = now
        self._worker = worker
        self._left = TimeLeft(now)
        self._place = worker
        self._phase = ""
        self._steps: int | None = None
        self._last_line = now()

    def grid(self, total: int, reused: int) -> None:
        """Say how many cells run."""
        self._say(grid_line(total, reused))

    def cell(self, index: int, total: int, label: str) -> None:
        """Say which cell starts."""
        self._left.start_cell(total - index)
        self._place = self._worker or f"[{index}/{total}]"
        left = None if self._worker else self._left.in_grid()
        self._say(f"{self._place} {label}{_approximately(left, 'for the grid')}")

    def phase(self, name: str, steps: int | None = None) -> None:
        """Say which phase starts."""
        self._left.start_phase()
        self._phase, self._steps = name, steps
        length = f", {steps} {'step' if steps == 1 else 'steps'}" if steps else ""
        self._say(f"{self._place} {name}{length}")

    def step(self, done: int, loss: float | None = None) -> None:
        """Say where the phase is when nothing was said for ten seconds."""
        if self._now() - self._last_line < QUIET_SECONDS:
            return
        left = self._left.in_phase(done, self._steps)
        line = f"{self._place} {self._phase} {step_text(done, self._steps, loss)}"
        self._say(f"{line}{_approximately(left, 'for this phase')}")

    def note(self, line: str) -> None:
        """Say the line."""
        self._say(f"{self._worker} {line}".strip())

    def end_cell(self, status: str, line: str) -> None:
        """Say how the cell ended."""
        self._say(end_line(f"{self._place} {status}", self._left.end_cell(), line))

    def finished(self, done: int, total: int, seconds_left: float) -> None:
        """Say how far the grid is."""
        left = _approximately(seconds_left, "for the grid") if done < total else ""
        self._say(f"{done} of {total} cells are over{left}")

    def of_worker(self, number: int) -> PlainProgress:
        """Return where a worker's lines go: here, with its number in front."""
        return PlainProgress(self._stream, self._now, f"worker {number}:")

    def close(self) -> None:
        """Nothing is held."""

    def _say(self, line: str) -> None:
        self._last_line = self._now()
        print(for_people(line), file=self._stream, flush=True)


def open_progress(stream: TextIO | None = None) -> Progress:
    """Return the live display where `stream` (standard error) is a terminal, else plain lines."""
    from rich.console import Console

    stream = stream or sys.stderr
    console = Console(file=stream)
    if not console.is_terminal or console.is_dumb_terminal:
        return PlainProgress(stream)
    from bench.progress.live import LiveProgress

    return LiveProgress(console)


def grid_line(total: int, reused: int) -> str:
    """Say how many cells run and how many need not."""
    done = f"; {reused} not run again" if reused else ""
    return f"{total} {'cell' if total == 1 else 'cells'} to run{done}"


def step_text(done: int, steps: int | None, loss: float | None) -> str:
    """Write `40/80, loss 0.132`, as far as it is known."""
    count = f"{done}/{steps}" if steps else str(done)
    return count if loss is None else f"{count}, loss {loss:.3f}"


def end_line(start: str, seconds: float, line: str) -> str:
    """Write `[2/4] done in 35 s: reliability 0.92`."""
    return f"{start} in {duration(seconds)}" + (f": {line}" if line else "")


def duration(seconds: float) -> str:
    """Write seconds for people: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _approximately(seconds: float | None, of: str) -> str:
    return "" if seconds is None else f", about {duration(seconds)} left {of}"
