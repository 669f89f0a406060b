"""What a run reports while it works, and the texts that all displays share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean


class Progress:
    """What a run reports: `grid`, then for each cell `cell`, its phases and `end_cell`.

    The methods do nothing here; a subclass overrides those that it can show.
    """

    def grid(self, total: int, reused: int) -> None:
        """Report that `total` cells will run and `reused` will not run again."""

    def cell(self, index: int, total: int, label: str, together: int = 1) -> None:
        """Report that a cell starts, or several at once.

        Args:
            index: Its number, counted from 1; of several, that of the first.
            total: How many cells will run.
            label: What is run.
            together: How many cells start.
        """

    def phase(self, name: str, steps: int | None = None) -> None:
        """Report that a phase of the cell starts, with its number of steps if known."""

    def step(self, done: int, loss: float | None = None) -> None:
        """Report that `done` steps of the phase are finished."""

    def note(self, line: str) -> None:
        """Show a line to the user: a warning, a download, terms of use."""

    def end_cell(self, status: str, line: str) -> None:
        """Report that the cell has ended, with its status and one line about it."""

    def finished(self, done: int, total: int, seconds_left: float) -> None:
        """Report that `done` of `total` cells have finished, where workers run them."""

    def of_worker(self, number: int) -> Progress:
        """Return what shows the cells of one worker, apart from those of others."""
        return self

    def close(self) -> None:
        """Release the terminal; may be called more than once."""


class Silent(Progress):
    """Shows nothing."""


@dataclass
class TimeLeft:
    """Estimates of the time left: of a cell from finished ones, of a phase from its steps.

    Attributes:
        now: A clock, in seconds.
    """

    now: Callable[[], float] = time.monotonic
    _durations: list[float] = field(default_factory=list)
    _waiting: int = 0
    _together: int = 1
    _cell_start: float = 0.0
    _phase_start: float = 0.0

    def start_cell(self, waiting: int, together: int = 1) -> None:
        """Note that cells start, usually one, and that `waiting` more follow the first."""
        self._cell_start, self._waiting, self._together = self.now(), waiting, together

    def start_phase(self) -> None:
        """Note that a phase of the cell starts."""
        self._phase_start = self.now()

    def end_cell(self) -> float:
        """Note that a cell has finished; return the seconds that it took, or its share."""
        self._durations.append((self.now() - self._cell_start) / self._together)
        return self._durations[-1]

    def in_phase(self, done: int, steps: int | None) -> float | None:
        """Return the seconds left of a phase after `done` of `steps`; None if unknown."""
        if not done or steps is None:
            return None
        return (self.now() - self._phase_start) / done * max(steps - done, 0)

    def in_cell(self) -> float | None:
        """Return the seconds left of the cell; None before any has finished."""
        if not self._durations:
            return None
        return max(fmean(self._durations) - (self.now() - self._cell_start), 0.0)

    def in_grid(self) -> float | None:
        """Return the seconds left of the grid; None before any cell has finished."""
        left = self.in_cell()
        return None if left is None else left + self._waiting * fmean(self._durations)


def grid_line(total: int, reused: int) -> str:
    """Write how many cells will run and how many have run already."""
    done = f"; {reused} already run" if reused else ""
    return f"{total} {'cell' if total == 1 else 'cells'} to run{done}"


def step_text(done: int, steps: int | None, loss: float | None) -> str:
    """Write `40/80, loss 0.132`, as far as the parts are known."""
    count = f"{done}/{steps}" if steps else str(done)
    return count if loss is None else f"{count}, loss {loss:.3f}"


def end_line(start: str, seconds: float, line: str) -> str:
    """Write `[2/4] done in 35 s: reliability 0.92`."""
    return f"{start} in {duration(seconds)}" + (f": {line}" if line else "")


def left_text(seconds: float | None, of: str) -> str:
    """Write `, about 35 s left in this phase`; nothing if that is unknown or zero."""
    return "" if not seconds else f", about {duration(seconds)} left {of}"


def duration(seconds: float | None) -> str:
    """Write a duration: `0.4 s`, `48 s`, `3 min 5 s`, `2 h 10 min`; `-` for None."""
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
