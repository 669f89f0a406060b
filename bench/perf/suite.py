"""Runs the entries one after another and shows what each found."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import click

from bench.perf.asking import evaluation
from bench.perf.entries import Bench, Entry
from bench.perf.machine import this_machine
from bench.perf.page import curve_table, page, table
from bench.perf.preparation import preparing_corda, preparing_pissa
from bench.perf.scale import scale_curves
from bench.perf.scale_figure import files
from bench.perf.steps import frozen_epochs, training_steps
from bench.perf.whole import whole_grid

ENTRIES: Mapping[str, Entry] = MappingProxyType(
    {
        "steps": training_steps,
        "freeze": frozen_epochs,
        "corda": preparing_corda,
        "pissa": preparing_pissa,
        "evaluation": evaluation,
        "grid": whole_grid,
        "scale": scale_curves,
    }
)


def run_suite(bench: Bench, names: Sequence[str], command: str, out: Path | None) -> bool:
    """Run entries, print their table, and write the page where one is wanted.

    Args:
        bench: Model, facts and sizes.
        names: Of `ENTRIES`.
        command: As it was typed, for the page.
        out: The page.

    Returns:
        Whether both sides found the same everywhere.
    """
    machine, outcomes = this_machine(), {}
    for name in names:
        started = time.perf_counter()
        outcomes[name] = ENTRIES[name](bench)
        click.echo(f"{name}: {time.perf_counter() - started:.0f} s", err=True)
    rows = [row for outcome in outcomes.values() for row in outcome.rows]
    curves = [curve for outcome in outcomes.values() for curve in outcome.curves]
    if out is None:
        click.echo(page(command, machine, outcomes))
    else:
        picture = out.with_name(f"{out.stem}-scale")
        figure = f"{picture.name}.png" if curves else ""
        click.echo(table(rows, "simple") if rows else "")
        click.echo(curve_table(curves, "simple") if curves else "")
        out.write_text(page(command, machine, outcomes, figure), encoding="utf-8")
        for suffix, content in files(curves).items() if curves else ():
            picture.with_name(f"{picture.name}{suffix}").write_bytes(content)
    return all(row.agreed for row in rows)
