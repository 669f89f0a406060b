"""The live display of a run: one bar for the grid, one for the phase of the running cell."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from bench.progress import TimeLeft, duration, end_line, grid_line, step_text
from bench.redaction import for_people


class LiveProgress:
    """Bars that stay at the bottom; finished cells and notes are printed above them.

    Args:
        console: A terminal. What other code prints while the bars are up appears above them.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._left = TimeLeft()
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}", markup=False),
            console=console,
            transient=True,
        )
        self._grid: TaskID | None = None
        self._phase: TaskID | None = None
        self._steps: int | None = None
        self._label = ""

    def grid(self, total: int, reused: int) -> None:
        """Put up the bars when there is something to run."""
        self._print(grid_line(total, reused))
        if total:
            self._grid = self._bars.add_task("grid", total=total, detail="")
            self._phase = self._bars.add_task("", total=None, detail="", visible=False)
            self._bars.start()

    def cell(self, index: int, total: int, label: str) -> None:
        """Name the running cell."""
        self._left.start_cell(total - index)
        self._label = for_people(label)
        if self._grid is not None:
            self._bars.update(
                self._grid, completed=index - 1, description=f"cell {index} of {total}"
            )
        self._tell_grid()

    def phase(self, name: str, steps: int | None = None) -> None:
        """Start the phase's bar; it pulses where the number of steps is not known."""
        self._left.start_phase()
        self._steps = steps
        if self._phase is not None:
            self._bars.reset(self._phase, total=steps, description=name, detail="", visible=True)
        self._tell_grid()

    def step(self, done: int, loss: float | None = None) -> None:
        """Move the phase's bar."""
        text = step_text(done, self._steps, loss)
        left = self._left.in_phase(done, self._steps)
        detail = text if left is None else f"{text}, {duration(left)} left"
        if self._phase is not None:
            self._bars.update(self._phase, completed=done, detail=detail)
        self._tell_grid()

    def note(self, line: str) -> None:
        """Print the line above the bars."""
        self._print(line)

    def end_cell(self, status: str, line: str) -> None:
        """Print how the cell ended above the bars."""
        colour = "green" if status == "done" else "red"
        text = end_line("", self._left.end_cell(), line)
        self._console.print(
            f"[{colour}]{escape(status)}[/] {escape(self._label + for_people(text))}",
            highlight=False,
        )
        if self._grid is not None:
            self._bars.advance(self._grid)

    def finished(self, done: int, total: int) -> None:
        """Move the grid's bar; other processes tell of their phases in lines."""
        if self._grid is not None:
            self._bars.update(self._grid, completed=done, description=f"{done} of {total} cells")

    def close(self) -> None:
        """Take the bars down."""
        self._bars.stop()

    def _tell_grid(self) -> None:
        cell, grid = self._left.in_cell(), self._left.in_grid()
        detail = self._label
        if cell is not None and grid is not None:
            detail += f" · {duration(cell)} left, {duration(grid)} for the grid"
        if self._grid is not None:
            self._bars.update(self._grid, detail=detail)

    def _print(self, line: str) -> None:
        self._console.print(for_people(line), highlight=False, markup=False)
