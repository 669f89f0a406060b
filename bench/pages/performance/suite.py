"""Runs the entries one after another and shows what each of them found."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from bench.pages.performance.cost_curves import curves_png
from bench.pages.performance.entries import Bench, Entry
from bench.pages.performance.evaluation import evaluation
from bench.pages.performance.grid import small_grid, whole_grid
from bench.pages.performance.initialisation import preparing_corda, preparing_pissa
from bench.pages.performance.machine import CPU, Kept, Machine, Measured, read_kept, write_kept
from bench.pages.performance.page import curve_table, page, table
from bench.pages.performance.scaling import scale_curves
from bench.pages.performance.stacked import stacked_grid
from bench.pages.performance.training_steps import frozen_epochs, training_steps

ENTRIES: dict[str, Entry] = {
    "steps": training_steps,
    "freeze": frozen_epochs,
    "corda": preparing_corda,
    "pissa": preparing_pissa,
    "evaluation": evaluation,
    "grid": whole_grid,
    "grid-small": small_grid,
    "stacked": stacked_grid,
    "scale": scale_curves,
}


def run_suite(
    bench: Bench, names: Sequence[str], command: str, machine: Machine, out: Path | None
) -> bool:
    """Run entries, print their table, and write the page if a file is given.

    The page is written after every entry and keeps the entries of earlier runs, and those of
    another kind of device. If an entry fails,
    its error is printed and the others run.

    Args:
        bench: Model, facts and sizes.
        names: Entries to run, keys of `ENTRIES`.
        command: The command as it was typed, for the page.
        machine: This machine.
        out: The page's file; None only prints.

    Returns:
        Whether all entries ran and both sides agreed in all of them.

    Raises:
        UsageError: The stored measurements of earlier runs are damaged.
    """
    earlier = {} if out is None else read_kept(out.with_suffix(".json"))
    found: dict[str, Measured] = {}
    for name in names:
        started = time.perf_counter()
        try:
            outcome = ENTRIES[name](bench)
        except Exception:
            click.echo(f"{name} failed\n{traceback.format_exc()}", err=True)
            continue
        seconds = time.perf_counter() - started
        found[name] = Measured(command, machine, seconds, outcome)
        click.echo(f"{name}: {seconds:.0f} s", err=True)
        if out is not None:
            here = {**earlier.get(machine.device, {}), **found}
            _publish(out, {**earlier, machine.device: here})
    rows = [row for measured in found.values() for row in measured.outcome.rows]
    curves = [curve for measured in found.values() for curve in measured.outcome.curves]
    if out is None:
        click.echo(page({machine.device: found}))
    else:
        click.echo(table(rows, "simple") if rows else "")
        click.echo(curve_table(curves, "simple") if curves else "")
    return len(found) == len(names) and all(row.agreed for row in rows)


def _publish(out: Path, measured: Kept) -> None:
    """Write the page, its picture and the measurements behind them."""
    ordered = {
        device: {name: found[name] for name in ENTRIES if name in found}
        for device, found in sorted(measured.items())
    }
    curves = [curve for found in ordered.get(CPU, {}).values() for curve in found.outcome.curves]
    picture = out.with_name(f"{out.stem}-scale.png")
    if curves:
        picture.write_bytes(curves_png(curves))
    write_kept(out.with_suffix(".json"), ordered)
    out.write_text(page(ordered, picture.name if curves else ""), encoding="utf-8")
