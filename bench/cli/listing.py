"""`python -m bench list`: everything that can be named; and the tables that `plan` shares."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cli.compared import COLUMNS, row_of
from bench.evaluation.metrics import metric_table
from bench.models.registry import EMBEDDED
from bench.redaction import safe_text
from bench.studies.registry import found_studies
from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES
from tasks.base import TASKS
from tasks.notation import format_value, parameters_of, type_name
from tasks.problems.base import problem_sets
from tasks.registry import Registry, declared

_CERTAINTY = re.compile(r"\s*\*\*(exact|rebuilt)\*\*.*")
"""The mark in a docstring that `certainty` and `paper` repeat."""

FORGETTING = (
    ("TASK", "the forget part of any task of facts above"),
    ("lm_eval:NAME", "an lm-eval task, with data from the hub or --data-dir"),
    ("drift", "mean KL(base || tuned) per token on text sampled from the base"),
    ("none", "do not measure forgetting"),
)


EVALUATION = (("lm_eval:NAME", "an lm-eval task, as above, to say what was learned"),)


@click.command(name="list")
@click.option("--compare", is_flag=True, help="Compare all adapters in one table.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def list_parts(compare: bool, as_json: bool) -> None:
    """List methods, tasks, studies, plots, models, forgetting tasks and metrics."""
    console = Console()
    if compare:
        compared = [row_of(name) for name in ADAPTERS.names()]
        if as_json:
            click.echo(json.dumps([dataclasses.asdict(row) for row in compared], indent=2))
        else:
            print_rows(console, "Adapters compared", COLUMNS, [row.told for row in compared])
        return
    studies, plots = found_studies().items(), declared("bench.report.plots", "plot")
    tasks = "Tasks: --tasks NAME, or a path to facts or labels (.jsonl, .json, .csv) or texts"
    hub = ("ORGANISATION/NAME", "any causal language model on the hub, or a local folder")
    metrics = [(name, metric.explanation) for name, metric in metric_table().items()]
    sections = (
        ("Adapters: how weights are changed", _parts(ADAPTERS)),
        ("Placements: which layers are trained", _parts(PLACEMENTS)),
        ("Strategies: what is learned, how strongly, and beside what", _parts(STRATEGIES)),
        (tasks, _parts(TASKS)),
        ("Studies: python -m bench study NAME", [(name, found.about) for name, found in studies]),
        ("Plots: in the report", [(found.name, found.about) for found in plots]),
        ("Models: --models", [*((name, wheel.licence) for name, wheel in EMBEDDED.items()), hub]),
        ("Forgetting: --forgetting", FORGETTING),
        ("Learning: --evaluate", [*_sets(), *EVALUATION]),
        ("Metrics: columns of leaderboard.csv", metrics),
    )
    if as_json:
        listed = {
            title.partition(":")[0].lower(): [
                {"name": name, "about": about} for name, about in rows
            ]
            for title, rows in sections
        }
        click.echo(json.dumps(listed, indent=2))
        return
    for title, rows in sections:
        print_rows(console, title, ("name", "about"), rows)


def _sets() -> list[tuple[str, str]]:
    """Return each set of problems with what it is about."""
    about = {name: inspect.getdoc(kind) or "" for name, kind in problem_sets().items()}
    return [(name, text.partition("\n")[0]) for name, text in about.items()]


def parameters_text(part: type[Any]) -> str:
    """Write a part's parameters: `r=16 (integer), path (text, required)`."""
    return ", ".join(
        f"{name} ({type_name(kind)}, required)"
        if default is dataclasses.MISSING
        else f"{name}={'none' if default is None else format_value(default)} ({type_name(kind)})"
        for name, (kind, default) in parameters_of(part).items()
    )


def _parts(registry: Registry[Any]) -> Iterable[tuple[str, str]]:
    """Yield each part's name, and the first line of its docstring, its origin and parameters."""
    for name in registry.names():
        part = registry[name]
        if registry is TASKS:
            origin = f"source: {part.source}; licence: {part.licence}"
        else:
            origin = f"{part.certainty}, arXiv {part.paper}" if part.paper else part.certainty
            origin += f"; {part.variants}" if part.variants else ""
            # None is for those of which only a run can tell.
            moved = getattr(part, "starts_as_base", True) is False
            origin += "; not the base at the start" if moved else ""
        first = (inspect.getdoc(part) or "").partition("\n")[0].replace("`", "")
        about = _CERTAINTY.sub("", first), origin, parameters_text(part)
        yield name, "\n".join(filter(None, about))


UNBROKEN = frozenset({"name", "arXiv", "rate"})
"""Columns whose texts are never cut into two lines."""


def print_rows(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Print a table under a title, as wide as the console.

    Args:
        console: Where to print.
        title: Printed in bold.
        columns: Their names; two columns are printed without a header.
        rows: One text for each column.
    """
    console.print(title, style="bold", highlight=False)
    table = Table(box=box.SIMPLE, show_header=len(columns) > 2, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in UNBROKEN)
    for row in rows:
        table.add_row(*(escape(safe_text(cell, breaks=True)) for cell in row))
    console.print(table if table.row_count else "none")
    console.print()
