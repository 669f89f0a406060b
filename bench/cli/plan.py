"""A grid as `plan` shows it: its cells with their states, and what is left of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console

from bench.cli.listing import print_rows
from bench.planning.cost_estimate import GridCost
from bench.planning.planned_cell import CellState, PlannedCell
from bench.planning.tuning import RATE, shown
from bench.progress.base import duration

LISTED_CELLS = 60
"""Plans of more cells are shown by method, model and task."""

SHOWN_ID = 8
"""Digits of a cell's id; `show` takes the start of one."""

_CELL_COLUMNS = ("state", "cell", "method", "model", "task", "lr", "seed")


def print_plan(
    cells: Sequence[PlannedCell], cost: GridCost, workers: int, console: Console | None = None
) -> None:
    """Print the cells of a grid with their states, many of them in groups, and what is left."""
    console = console or Console()
    models = list(dict.fromkeys(cell.spec.model for cell in cells))
    alone = f" of {models[0]}" if len(models) == 1 else ""
    title = f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}{alone}"
    if len(cells) <= LISTED_CELLS:
        names = [name for name in _CELL_COLUMNS if not (alone and name == "model")]
        print_rows(console, title, names, [_cell_row(cell, names) for cell in cells])
    else:
        columns = ("method", "model", "task", "cells", *_states(cells))
        print_rows(console, title, columns, _group_rows(cells))
    states = Counter(cell.state for cell in cells)
    told = ", ".join(f"{states[state]} {state}" for state in _states(cells))
    for line in _facts_lines(cells):
        console.print(line, highlight=False)
    console.print(told, highlight=False)
    console.print(cost_line(cost, workers), highlight=False)


def cost_line(cost: GridCost, workers: int) -> str:
    """Say what is left to run, how long it takes and how much memory it needs."""
    if not cost.cells:
        return "nothing is left to run"
    source = "from finished cells" if cost.measured else "rough, from the model's size"
    workers = min(workers, cost.cells)
    time = "an unknown time" if cost.seconds is None else duration(cost.seconds / workers)
    with_workers = f" with {workers} workers" if workers > 1 else ""
    peak = "" if cost.peak_bytes is None else f", {cost.peak_bytes / 2**30:.1f} GiB"
    each = " each" if workers > 1 and peak else ""
    return f"to run: {cost.cells}, about {time}{with_workers}{peak}{each} ({source})"


def _states(cells: Sequence[PlannedCell]) -> list[CellState]:
    """Return the states to show: that of open cells in a tuned grid alone."""
    tuned = any(cell.spec.tuned for cell in cells)
    return [state for state in CellState if tuned or state is not CellState.OPEN]


def _cell_row(cell: PlannedCell, columns: Sequence[str]) -> tuple[str, ...]:
    values = {
        "state": cell.state if cell.state is CellState.OPEN else f"{cell.state} {cell.why}".strip(),
        "cell": cell.cell_id[:SHOWN_ID] if cell.chosen else "-",
        "method": cell.spec.asked,
        "model": cell.spec.model,
        "task": _facts(cell),
        "lr": _trained(cell),
        "seed": str(cell.spec.seed),
    }
    return tuple(values[name] for name in columns)


def _facts(cell: PlannedCell) -> str:
    """Name the facts of a cell: the task, and which of its sets."""
    return f"{cell.spec.task}, {cell.spec.fact_set}" if cell.spec.fact_set else cell.spec.task


def _facts_lines(cells: Sequence[PlannedCell]) -> Iterable[str]:
    """Say once for each task and set how many facts its cells train."""
    counts = {_facts(cell): (cell.spec.facts, cell.data.available) for cell in cells}
    return (f"{name}: {facts} of {available} facts" for name, (facts, available) in counts.items())


def _trained(cell: PlannedCell) -> str:
    """Write a cell's learning rate, and what else is tuned."""
    if not cell.chosen:
        return "-"
    others = [name for name in cell.spec.tuned.over if name != RATE] if cell.spec.tuned else []
    return ", ".join(filter(None, (f"{cell.spec.learning_rate:g}", shown(cell.spec, others))))


def _group_rows(cells: Sequence[PlannedCell]) -> Iterable[tuple[str, ...]]:
    groups: dict[tuple[str, str, str], Counter[CellState]] = {}
    for cell in cells:
        key = (cell.spec.asked, cell.spec.model, _facts(cell))
        groups.setdefault(key, Counter())[cell.state] += 1
    for key, states in groups.items():
        yield (*key, str(states.total()), *(str(states[state]) for state in _states(cells)))
