"""The live display of a run: a bar for the grid, and one for the phase of each running cell."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from bench.progress.base import Progress, TimeLeft, duration, end_line, grid_line, step_text
from bench.redaction import safe_text


class LiveProgress(Progress):
    """Bars at the bottom of the terminal; finished cells and notes are printed above them.

    Args:
        console: A terminal. Anything else that is printed appears above the bars, too.
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
        self._phase = _PhaseBar(self._bars)
        self._label = ""

    def grid(self, total: int, reused: int) -> None:
        """Show the bars if there is something to run."""
        print_line(self._console, grid_line(total, reused))
        if total:
            self._grid = self._bars.add_task("grid", total=total, detail="")
            self._bars.start()

    def cell(self, index: int, total: int, label: str, together: int = 1) -> None:
        """Name what is running."""
        self._left.start_cell(total - index, together)
        self._label = safe_text(label)
        self._set_grid(completed=index - 1, description=f"cell {index} of {total}")
        self._tell_grid()

    def phase(self, name: str, steps: int | None = None) -> None:
        """Start the phase's bar; it pulses if the number of steps is unknown."""
        self._phase.start(name, steps)
        self._tell_grid()

    def step(self, done: int, loss: float | None = None) -> None:
        """Move the phase's bar."""
        self._phase.move(done, loss)
        self._tell_grid()

    def note(self, line: str) -> None:
        """Print the line above the bars."""
        print_line(self._console, line)

    def end_cell(self, status: str, line: str) -> None:
        """Print how the cell ended above the bars."""
        print_end(self._console, status, self._label, self._left.end_cell(), line)
        if self._grid is not None:
            self._bars.advance(self._grid)

    def finished(self, done: int, total: int, seconds_left: float) -> None:
        """Move the grid's bar, where workers run its cells."""
        left = f"about {duration(seconds_left)} left" if done < total else ""
        self._set_grid(completed=done, description=f"{done} of {total} cells", detail=left)

    def of_worker(self, number: int) -> LiveWorker:
        """Add a bar for a worker."""
        return LiveWorker(self._console, self._bars, number)

    def close(self) -> None:
        """Remove the bars."""
        self._bars.stop()

    def _tell_grid(self) -> None:
        cell, grid = self._left.in_cell(), self._left.in_grid()
        detail = self._label
        if cell is not None and grid is not None:
            detail += f" · {duration(cell)} left, {duration(grid)} overall"
        self._set_grid(detail=detail)

    def _set_grid(self, **shown: object) -> None:
        if self._grid is not None:
            self._bars.update(self._grid, **shown)  # type: ignore[arg-type]


class LiveWorker(Progress):
    """The bar of one worker: the phase of its cell.

    Args:
        console: The terminal.
        bars: The bars of the run, to which this one is added.
        number: The worker's number.
    """

    def __init__(self, console: Console, bars: Bars, number: int) -> None:
        self._console = console
        self._name = f"worker {number}"
        self._left = TimeLeft()
        self._phase = _PhaseBar(bars)
        self._label = ""

    def cell(self, index: int, total: int, label: str, together: int = 1) -> None:
        """Name what is running."""
        self._left.start_cell(0, together)
        self._label = safe_text(label)
        self._phase.start(self._name, None, self._label)

    def phase(self, name: str, steps: int | None = None) -> None:
        """Start the phase's bar; it pulses if the number of steps is unknown."""
        self._phase.start(f"{self._name} · {name}", steps, self._label)

    def step(self, done: int, loss: float | None = None) -> None:
        """Move the phase's bar."""
        self._phase.move(done, loss)

    def note(self, line: str) -> None:
        """Print the line above the bars."""
        print_line(self._console, f"{self._name}: {line}")

    def end_cell(self, status: str, line: str) -> None:
        """Print how the cell ended above the bars."""
        print_end(self._console, status, self._label, self._left.end_cell(), line)
        self._phase.hide()


class _PhaseBar:
    """A bar that shows one phase after another."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._left = TimeLeft()
        self._task: TaskID | None = None
        self._steps: int | None = None
        self._cell = ""

    def start(self, name: str, steps: int | None, cell: str = "") -> None:
        if self._task is None:
            self._task = self._bars.add_task("", total=None, detail="")
        self._left.start_phase()
        self._steps, self._cell = steps, cell
        self._bars.reset(self._task, total=steps, description=name, detail=cell, visible=True)

    def move(self, done: int, loss: float | None) -> None:
        text = step_text(done, self._steps, loss)
        left = self._left.in_phase(done, self._steps)
        detail = f"{text}, {duration(left)} left" if left else text
        if self._task is not None:
            shown = f"{detail} · {self._cell}" if self._cell else detail
            self._bars.update(self._task, completed=done, detail=shown)

    def hide(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, visible=False)


def print_line(console: Console, line: str) -> None:
    """Print a line as it is."""
    console.print(safe_text(line, breaks=True), highlight=False, markup=False)


def print_end(console: Console, status: str, label: str, seconds: float, line: str) -> None:
    """Print how a cell ended."""
    colour = "green" if status == "done" else "red"
    text = safe_text(end_line("", seconds, line), breaks=True)
    console.print(f"[{colour}]{escape(status)}[/] {escape(label + text)}", highlight=False)
