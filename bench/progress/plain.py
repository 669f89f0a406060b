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
        self._say(f"{self._place} {label}{left_text(left, 'for the grid')}")

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
        self._say(f"{line}{left_text(left, 'for this phase')}")

    def note(self, line: str) -> None:
        """Say the line."""
        self._say(f"{self._worker} {line}".strip())

    def end_cell(self, status: str, line: str) -> None:
        """Say how the cell ended."""
        self._say(end_line(f"{self._place} {status}", self._left.end_cell(), line))

    def finished(self, done: int, total: int, seconds_left: float) -> None:
        """Say how far the grid is."""
        left = left_text(seconds_left, "for the grid") if done < total else ""
        self._say(f"{done} of {total} cells are over{left}")

    def of_worker(self, number: int) -> PlainProgress:
        """Return where a worker's lines go: here, with its number in front."""
        return PlainProgress(self._stream, self._now, f"worker {number}:")

    def _say(self, line: str) -> None:
        self._last_line = self._now()
        print(safe_text(line, breaks=True), file=self._stream, flush=True)
