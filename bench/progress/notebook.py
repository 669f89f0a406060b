"""The progress of a run in a notebook: one output that changes in place, and stays as it ended.

Rich draws bars in notebooks by ipywidgets, and nothing where those are not installed; a display
of IPython's is enough, and a saved notebook still shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from typing import Any

from bench.progress.base import (
    Progress,
    TimeLeft,
    duration,
    end_line,
    grid_line,
    left_text,
    step_text,
)
from bench.redaction import safe_text

SECONDS_BETWEEN = 0.2
"""Least time between two changes within a phase: each is a message to the browser."""

LINES = 40
"""How many finished cells and notes stay in sight."""

Bundle = dict[str, str]


class NotebookProgress(Progress):
    """A bar for the grid, a line for each cell under way, and a line for each that has ended.

    Args:
        show: Shows a text in its forms by media type, and returns what changes it; for tests.
        now: A clock, in seconds.
    """

    def __init__(
        self,
        show: Callable[[Bundle], Callable[[Bundle], object]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show = show or _display
        self._now = now
        self._change: Callable[[Bundle], object] | None = None
        self._last = 0.0
        self._lines: list[str] = []
        self._hidden = 0
        self._under_way: dict[str, str] = {}
        self._done = self._total = 0
        self._overall = ""
        self._own = _Lane(self, "")

    def grid(self, total: int, reused: int) -> None:
        """Show how many cells will run."""
        self._done, self._total = 0, total
        self.add(grid_line(total, reused))

    def cell(self, index: int, total: int, label: str, together: int = 1) -> None:
        """Show which cell starts, or which ones."""
        self._done = index - 1
        self._own.cell(index, total, label, together)

    def phase(self, name: str, steps: int | None = None) -> None:
        """Show which phase starts."""
        self._own.phase(name, steps)

    def step(self, done: int, loss: float | None = None) -> None:
        """Show how far the phase is."""
        self._own.step(done, loss)

    def note(self, line: str) -> None:
        """Show the line."""
        self.add(line)

    def end_cell(self, status: str, line: str) -> None:
        """Show how the cell ended."""
        self._done += self._own.together
        self._own.end_cell(status, line)

    def finished(self, done: int, total: int, seconds_left: float) -> None:
        """Show how many cells have finished, where workers run them."""
        self._done, self._total = done, total
        self._overall = left_text(seconds_left, "overall") if done < total else ""
        self.draw()

    def of_worker(self, number: int) -> Progress:
        """Return what shows the cell of one worker."""
        return _Lane(self, f"worker {number}")

    def close(self) -> None:
        """Leave what has ended in sight."""
        self._under_way.clear()
        self._overall = ""
        self.draw()

    def add(self, line: str) -> None:
        """Add a line that stays."""
        self._lines.append(safe_text(line, breaks=True))
        extra = max(0, len(self._lines) - LINES)
        self._hidden += extra
        del self._lines[:extra]
        self.draw()

    def tell(self, place: str, text: str, *, often: bool = False) -> None:
        """Show what is under way in a place, or with an empty text that nothing is.

        Args:
            place: A worker; empty where there are none.
            text: What it does.
            often: Whether this may be left out if something was shown a moment ago.
        """
        self._under_way[place] = safe_text(text)
        if not text:
            del self._under_way[place]
        if not often or self._now() - self._last >= SECONDS_BETWEEN:
            self.draw()

    def draw(self) -> None:
        """Show the present state."""
        self._last = self._now()
        bundle = {"text/plain": self._text(), "text/html": self._html()}
        if self._change is None:
            self._change = self._show(bundle)
        else:
            self._change(bundle)

    def _count(self) -> str:
        return f"{self._done} of {self._total} cells{self._overall}" if self._total else ""

    def _shown(self) -> list[str]:
        earlier = [f"... {self._hidden} earlier lines"] if self._hidden else []
        return [*earlier, *self._lines]

    def _text(self) -> str:
        return "\n".join(filter(None, [*self._shown(), self._count(), *self._under_way.values()]))

    def _html(self) -> str:
        bar = ""
        if self._total:
            count = escape(self._count())
            bar = (
                f'<label><progress max="{self._total}" value="{self._done}"></progress> '
                f"{count}</label>"
            )
        lines = "".join(f"<div>{escape(line)}</div>" for line in self._shown())
        now = "".join(f"<div><i>{escape(line)}</i></div>" for line in self._under_way.values())
        return f'<div style="font-size: 90%">{lines}{bar}{now}</div>'


class _Lane(Progress):
    """The cells of one worker, or of this process."""

    def __init__(self, board: NotebookProgress, place: str) -> None:
        self._board, self._place = board, place
        self._left = TimeLeft(board._now)
        self._label = self._phase = ""
        self._steps: int | None = None
        self.together = 1

    def cell(self, index: int, total: int, label: str, together: int = 1) -> None:
        self._left.start_cell(total - index, together)
        self._label, self.together = label, together
        self._tell("")

    def phase(self, name: str, steps: int | None = None) -> None:
        self._left.start_phase()
        self._phase, self._steps = name, steps
        self._tell(f": {name}")

    def step(self, done: int, loss: float | None = None) -> None:
        left = self._left.in_phase(done, self._steps)
        text = f": {self._phase} {step_text(done, self._steps, loss)}"
        self._tell(f"{text}, {duration(left)} left" if left else text, often=True)

    def note(self, line: str) -> None:
        self._board.add(f"{self._place} {line}".strip())

    def end_cell(self, status: str, line: str) -> None:
        self._board.tell(self._place, "")
        self._board.add(end_line(f"{status}: {self._label}", self._left.end_cell(), line))

    def _tell(self, text: str, *, often: bool = False) -> None:
        where = f"{self._place}: " if self._place else ""
        self._board.tell(self._place, f"{where}{self._label}{text}", often=often)


def _display(bundle: Bundle) -> Callable[[Bundle], object]:
    from IPython.display import display

    handle: Any = display(bundle, raw=True, display_id=True)
    return lambda changed: handle.update(changed, raw=True)
