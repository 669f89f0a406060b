"""What `plan` prints: the cells of a grid with their states, and what is left to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from rich.console import Console

from bench.cli.listing import print_rows
from bench.planning.cost_estimate import GridCost
from bench.planning.planned_cell import CellState, PlannedCell
from bench.planning.tuning import RATE, shown
from bench.progress.base import duration
from bench.store.asks import Asks

LISTED_CELLS = 60
"""Larger plans are grouped by method, model and task."""

SHOWN_ID = 8
"""Digits of a cell's id; `show` accepts the first digits of one."""

_CELL_COLUMNS = ("state", "cell", "method", "model", "task", "lr", "seed")


def print_plan(
    cells: Sequence[PlannedCell],
    cost: GridCost,
    workers: int,
    console: Console | None = None,
    unfinished: Collection[str] = (),
) -> None:
    """Print the cells of a grid with their states, or groups of them, and what is left to run.

    Args:
        cells: The planned cells.
        cost: What the cells that will run take.
        workers: How many processes will run them.
        console: Where to print; the terminal by default.
        unfinished: The ids of cells whose training was stopped and goes on.
    """
    console = console or Console()
    models = list(dict.fromkeys(cell.spec.model for cell in cells))
    alone = f" of {models[0]}" if len(models) == 1 else ""
    title = f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}{alone}"
    columns = [name for name in _CELL_COLUMNS if not (alone and name == "model")]
    tuned = any(cell.spec.tuned for cell in cells)  # only then can a candidate be open
    states = [state for state in CellState if tuned or state is not CellState.OPEN]
    if len(cells) > LISTED_CELLS:
        columns = [name for name in columns if name in ("method", "model", "task")]
        groups: dict[tuple[str, ...], Counter[CellState]] = {}
        for cell in cells:
            groups.setdefault(_cell_row(cell, columns), Counter())[cell.state] += 1
        rows = [
            (*key, str(found.total()), *(str(found[state]) for state in states))
            for key, found in groups.items()
        ]
        print_rows(console, title, (*columns, "cells", *states), rows)
    else:
        print_rows(console, title, columns, [_cell_row(cell, columns) for cell in cells])
    used = {_facts(cell): cell for cell in cells}
    for name, cell in used.items():
        told = f"{name}: {cell.spec.trained} of {cell.data.available} "
        told += _what(cell)
        console.print(told, highlight=False, markup=False)
    counts = Counter(cell.state for cell in cells)
    told = ", ".join(f"{counts[state]} {state}" for state in states)
    console.print(told, highlight=False, markup=False)
    if continued := sum(cell.runs and cell.cell_id in unfinished for cell in cells):
        many = "1 cell goes" if continued == 1 else f"{continued} cells go"
        console.print(f"{many} on with a training that was stopped", highlight=False, markup=False)
    console.print(cost_line(cost, workers), highlight=False, markup=False)


def _what(cell: PlannedCell) -> str:
    """Name what is trained, and what else is asked."""
    if not cell.data.held_out:
        return "facts"
    if (asks := cell.data.asks) is Asks.PROBLEMS:
        return f"examples, {cell.spec.facts} held out"
    return f"{asks.lessons}, {cell.spec.facts} {asks.items}"


def cost_line(cost: GridCost, workers: int) -> str:
    """Write how many cells are left to run, how long they take and how much memory they need."""
    if not cost.cells:
        return "nothing left to run"
    basis = "estimate from finished cells" if cost.measured else "rough estimate from model size"
    workers = min(workers, cost.cells)
    time = "time unknown"
    if cost.seconds is not None:
        seconds = cost.seconds / workers
        time = f"about {duration(seconds)}" if seconds >= 1 else "less than 1 s"
    with_workers = f" with {workers} workers" if workers > 1 else ""
    peak = "" if cost.peak_bytes is None else f", {cost.peak_bytes / 2**30:.1f} GiB"
    each = " each" if workers > 1 and peak else ""
    count = f"{cost.cells} {'cell' if cost.cells == 1 else 'cells'}"
    return f"to run: {count}, {time}{with_workers}{peak}{each} ({basis})"


def _cell_row(cell: PlannedCell, columns: Sequence[str]) -> tuple[str, ...]:
    values = {
        "state": f"{cell.state}: {cell.why}" if cell.why and cell.chosen else cell.state,
        "cell": cell.cell_id[:SHOWN_ID] if cell.chosen else "-",
        "method": cell.spec.asked,
        "model": cell.spec.model,
        "task": _facts(cell),
        "lr": _trained(cell),
        "seed": str(cell.spec.seed),
    }
    return tuple(values[name] for name in columns)


def _facts(cell: PlannedCell) -> str:
    """Name the facts of a cell: the task, and in a tuned grid which set of it."""
    task = " ".join(filter(None, (cell.spec.task, cell.spec.started)))
    return f"{task}, {cell.spec.fact_set}" if cell.spec.fact_set else task


def _trained(cell: PlannedCell) -> str:
    """Write a cell's learning rate and its other tuned values."""
    if not cell.chosen:
        return "-"
    others = [name for name in cell.spec.tuned.over if name != RATE] if cell.spec.tuned else []
    return ", ".join(filter(None, (f"{cell.spec.learning_rate:g}", shown(cell.spec, others))))
