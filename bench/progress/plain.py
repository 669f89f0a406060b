"""Progress as lines of text, for logs and pipes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from bench.progress.base import Progress, TimeLeft, end_line, grid_line, left_text, step_text
from bench.redaction import safe_text

QUIET_SECONDS = 10.0
"""Least time between two lines of one phase."""


class PlainProgress(Progress):
    """Prints a line for each phase of a cell, and every ten seconds within a long phase.

    Args:
        stream: Where lines go.
        now: A clock, in seconds.
        worker: The start of each line: `worker 2:`; empty unless workers run the cells.
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
        """Print how many cells will run."""
        self._say(grid_line(total, reused))

    def cell(self, index: int, total: int, label: str, together: int = 1) -> None:
        """Print which cell starts, or which ones."""
        self._left.start_cell(total - index, together)
        self._place = self._worker or f"[{index}/{total}]"
        left = None if self._worker else self._left.in_grid()
        self._say(f"{self._place} {label}{left_text(left, 'overall')}")

    def phase(self, name: str, steps: int | None = None) -> None:
        """Print which phase starts."""
        self._left.start_phase()
        self._phase, self._steps = name, steps
        length = f", {steps} {'step' if steps == 1 else 'steps'}" if steps else ""
        self._say(f"{self._place} {name}{length}")

    def step(self, done: int, loss: float | None = None) -> None:
        """Print how far the phase is, if nothing was printed for ten seconds."""
        if self._now() - self._last_line < QUIET_SECONDS:
            return
        left = self._left.in_phase(done, self._steps)
        line = f"{self._place} {self._phase} {step_text(done, self._steps, loss)}"
        self._say(f"{line}{left_text(left, 'in this phase')}")

    def note(self, line: str) -> None:
        """Print the line."""
        self._say(f"{self._worker} {line}".strip())

    def end_cell(self, status: str, line: str) -> None:
        """Print how the cell ended."""
        self._say(end_line(f"{self._place} {status}", self._left.end_cell(), line))

    def finished(self, done: int, total: int, seconds_left: float) -> None:
        """Print how many cells have finished."""
        left = left_text(seconds_left, "overall") if done < total else ""
        self._say(f"{done} of {total} cells finished{left}")

    def of_worker(self, number: int) -> PlainProgress:
        """Return what prints a worker's lines: to the same stream, starting with its number."""
        return PlainProgress(self._stream, self._now, f"worker {number}:")

    def _say(self, line: str) -> None:
        self._last_line = self._now()
        print(safe_text(line, breaks=True), file=self._stream, flush=True)
