"""What a run reports while it works, and the texts that every way of showing it shares."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


class Progress:
    """What the runner reports: a grid, then for each cell `cell`, its phases and `end_cell`.

    The methods do nothing here: a subclass shows what it has a place for.
    """

    def grid(self, total: int, reused: int) -> None:
        """Start: `total` cells will run, `reused` were done before."""

    def cell(self, index: int, total: int, label: str) -> None:
        """Start cell `index`, counted from 1."""

    def phase(self, name: str, steps: int | None = None) -> None:
        """Start a phase of the cell; `steps` where their number is known."""

    def step(self, done: int, loss: float | None = None) -> None:
        """Report that `done` steps of the phase are over."""

    def note(self, line: str) -> None:
        """Tell people a line: a warning, a download, terms."""

    def end_cell(self, status: str, line: str) -> None:
        """Finish the cell with its status and one line about it."""

    def finished(self, done: int, total: int, seconds_left: float) -> None:
        """Report that `done` of `total` cells are over, where workers run them."""

    def of_worker(self, number: int) -> Progress:
        """Return where a worker's cells are shown, apart from those of others."""
        return self

    def close(self) -> None:
        """Give the terminal back; may be called more than once."""


class Silent(Progress):
    """Shows nothing."""


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


def left_text(seconds: float | None, of: str) -> str:
    """Write `, about 35 s left for the grid`; nothing where it is not known, or nothing is left."""
    return "" if not seconds else f", about {duration(seconds)} left {of}"


def duration(seconds: float | None) -> str:
    """Write seconds for people: `0.4 s`, `48 s`, `3 min 5 s`, `2 h 10 min`; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
