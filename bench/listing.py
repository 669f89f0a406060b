"""What can be named: methods with their parameters, tasks, models; and a grid's cells."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.models import EMBEDDED
from bench.progress import duration
from bench.redaction import for_people
from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES
from tasks.base import TASKS
from tasks.notation import format_value, parameters_of, type_name
from tasks.registry import Registry

if TYPE_CHECKING:
    from bench.estimates import GridCost
    from bench.grid import CellState, PlannedCell

LISTED_CELLS = 60
"""Plans of more cells are shown by method, model and task."""

_CERTAINTY = re.compile(r"\s*\*\*(exact|rebuilt)\*\*.*")
"""What a docstring says beside `certainty` and `paper`."""

FORGETTING = (
    ("TASK", "the forget part of any task above"),
    ("lm_eval:NAME", "lm-eval's own task, from the hub or --data-dir"),
    ("drift", "mean KL(base || tuned) per token on text sampled from the base"),
    ("none", "measure no forgetting"),
)


def print_parts(console: Console | None = None) -> None:
    """Print every registered name, in the width of the terminal."""
    console = console or Console()
    for title, registry in (
        ("Adapters: how weights are changed", ADAPTERS),
        ("Placements: where", PLACEMENTS),
        ("Strategies: what is learned, how strongly", STRATEGIES),
    ):
        _print(console, title, ("name", "about"), _parts(registry))
    tasks = "Tasks: --tasks NAME, or a path to a .jsonl, .json or .csv file"
    _print(console, tasks, ("name", "about"), _tasks())
    models = [(name, wheel.licence) for name, wheel in EMBEDDED.items()]
    models.append(("ORGANISATION/NAME", "any causal language model of the hub, or a local folder"))
    _print(console, "Models: --models", ("name", "licence"), models)
    _print(console, "Forgetting: --forgetting", ("name", "about"), FORGETTING)


def print_plan(
    cells: Sequence[PlannedCell], cost: GridCost, workers: int, console: Console | None = None
) -> None:
    """Print the cells of a grid with their states, many of them in groups, and what is left."""
    from bench.grid import CellState

    console = console or Console()
    title = f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}"
    if len(cells) <= LISTED_CELLS:
        columns = ("state", "cell", "method", "model", "task", "lr", "seed")
        _print(console, title, columns, map(_cell_row, cells))
    else:
        columns = ("method", "model", "task", "cells", *CellState)
        _print(console, title, columns, _group_rows(cells))
    states = Counter(cell.state for cell in cells)
    console.print(", ".join(f"{states[state]} {state}" for state in CellState), highlight=False)
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


def _cell_row(cell: PlannedCell) -> tuple[str, ...]:
    return (
        f"{cell.state} {cell.why}".strip(),
        cell.cell_id[:12],
        cell.spec.method,
        cell.spec.model,
        f"{cell.spec.task} ({cell.spec.facts} of {cell.data.available} facts)",
        f"{cell.spec.learning_rate:g}",
        str(cell.spec.seed),
    )


def _group_rows(cells: Sequence[PlannedCell]) -> Iterable[tuple[str, ...]]:
    from bench.grid import CellState

    groups: dict[tuple[str, str, str], Counter[CellState]] = {}
    for cell in cells:
        key = (cell.spec.method, cell.spec.model, cell.spec.task)
        groups.setdefault(key, Counter())[cell.state] += 1
    for key, states in groups.items():
        yield (*key, str(states.total()), *(str(states[state]) for state in CellState))


def parameters_text(part: type[Any]) -> str:
    """Write a part's parameters: `r=16 (integer), path (text, required)`."""
    return ", ".join(
        f"{name} ({type_name(kind)}, required)"
        if default is dataclasses.MISSING
        else f"{name}={'none' if default is None else format_value(default)} ({type_name(kind)})"
        for name, (kind, default) in parameters_of(part).items()
    )


def _parts(registry: Registry[Any]) -> Iterable[tuple[str, str]]:
    for name in registry.names():
        part = registry[name]
        paper = f", arXiv {part.paper}" if part.paper else ""
        yield name, _about(part, f"{part.certainty}{paper}")


def _tasks() -> Iterable[tuple[str, str]]:
    for name in TASKS.names():
        task = TASKS[name]
        yield name, _about(task, f"source: {task.source}; licence: {task.licence}")


def _about(part: type[Any], origin: str) -> str:
    """Return the first line of the docstring, where it comes from, and its parameters."""
    first = (inspect.getdoc(part) or "").partition("\n")[0].replace("`", "")
    return "\n".join(filter(None, (_CERTAINTY.sub("", first), origin, parameters_text(part))))


def _print(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    console.print(title, style="bold", highlight=False)
    table = Table(box=box.SIMPLE, show_header=len(columns) > 2, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows:
        table.add_row(*(escape(for_people(cell)) for cell in row))
    console.print(table if table.row_count else "none")
    console.print()
