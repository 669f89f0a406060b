"""Cells from 10 to 10^4: planned, claimed, and reported.

Half of the planned cells are stored. A report is that of the command line, in a process of its own:
it reads five seeds of eight methods on as many tasks as needed and writes every table and the page.
Plots are left out; their time grows with the number of tasks.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.config.options import RunOptions
from bench.evaluation.metrics import summarise
from bench.execution.leases import Claims
from bench.forgetting.scores import ItemScores, compare
from bench.pages.performance.child import run_module
from bench.pages.performance.cost_curves import Curve, Point, least_seconds
from bench.pages.performance.scaling_facts import LazyFactRows
from bench.planning.cost_estimate import grid_cost
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import cell_id
from bench.store.records import CellRecord, CellSpec, Epoch, FactRow, Phase, PhaseName, Status
from bench.store.store import ResultsStore

METHODS = ("lora", "dora", "pissa", "corda", "freeze", "filter", "reweight", "full")
SEEDS = 5


def cell_curves(options: RunOptions, sizes: tuple[int, ...]) -> list[Curve]:
    """Time planning, claims and reports over numbers of cells.

    Args:
        options: Options of a run with one method, task and model; its results folder is filled.
        sizes: Numbers of cells.
    """
    record, rows = _finished_cell(options)
    planning, claims, reports = [], [], []
    for size in sizes:
        folder = options.out / str(size)
        chosen = options.model_copy(update={"seeds": tuple(range(size)), "out": folder / "plan"})
        specs = [cell.spec for cell in plan_grid(chosen, ResultsStore(chosen.out))]
        _store(chosen.out, record, rows, specs[: size // 2])
        planning.append(Point(size, least_seconds(partial(_plan, chosen))))
        ids = [cell_id(spec) for spec in specs]
        claims.append(Point(size, least_seconds(partial(_claim, folder, ids))))
        _store(folder / "report", record, rows, _reported(record.spec, size))
        reports.append(Point(size, least_seconds(partial(_report, folder / "report"))))
    return [
        Curve("planning, half of the cells stored", "cells", tuple(planning), 1.0),
        Curve("claiming and releasing", "cells", tuple(claims), 1.0),
        Curve("report without plots, start included", "cells", tuple(reports), 1.0),
    ]


def _finished_cell(options: RunOptions) -> tuple[CellRecord, list[FactRow]]:
    """Return a cell as a run stores it; the other cells are copies of it."""
    [cell] = plan_grid(options, ResultsStore(options.out))
    rows = list(LazyFactRows(cell.data.facts, [0.5] * len(cell.data.facts)))
    right = tuple(float(item % 2) for item in range(options.forgetting_limit))
    base = ItemScores("elements", "acc", right, 0.25, "0")
    tuned = replace(base, items=(0.0, *right[1:]))
    record = CellRecord(
        cell_id=cell.cell_id,
        spec=cell.spec,
        status=Status.DONE,
        metrics=summarise(rows),
        forgetting=[compare(base, tuned, options.forgetting_limit)],
        curve=[Epoch(epoch=1, loss=1.0, token_accuracy=0.5)],
        phases={
            name: Phase(seconds=1.0, seconds_cold=1.0, peak_bytes=2**30)
            for name in PhaseName
            if name is not PhaseName.EXPLAIN
        },
        parameters=1,
        parameters_total=2,
        flops=1.0,
        init_difference=0.0,
        identity=True,
    )
    return record, rows


def _plan(options: RunOptions) -> None:
    store = ResultsStore(options.out)
    grid_cost(plan_grid(options, store), store.summaries())


def _claim(folder: Path, ids: list[str]) -> None:
    with Claims(folder) as claims:
        for name in ids:
            claims.take(name)
            claims.release(name)


def _report(folder: Path) -> None:
    run_module("bench", "report", "--out", str(folder), "--plots", "none")


def _reported(spec: CellSpec, size: int) -> list[CellSpec]:
    """Return the specifications of `size` cells: five seeds of each method, task by task."""
    each = len(METHODS) * SEEDS
    return [
        spec.model_copy(
            update={
                "task": f"task-{task:04d}",
                "method": METHODS[number // SEEDS],
                "recipe": f"{METHODS[number // SEEDS]}[]",
                "seed": number % SEEDS,
            }
        )
        for task in range(math.ceil(size / each))
        for number in range(min(each, size - task * each))
    ]


def _store(folder: Path, record: CellRecord, rows: list[FactRow], specs: list[CellSpec]) -> None:
    """Write copies of a cell; only the first is written safely against power cuts."""
    if not specs:
        return
    store = ResultsStore(folder)
    first = cell_id(specs[0])
    store.write(record.model_copy(update={"cell_id": first, "spec": specs[0]}), rows)
    content = json.loads((store.cells / f"{first}.json").read_bytes())
    table = (store.facts / f"{first}.parquet").read_bytes()
    for spec in specs[1:]:
        name = cell_id(spec)
        copy = {**content, "cell_id": name, "spec": spec.model_dump(mode="json")}
        (store.cells / f"{name}.json").write_text(json.dumps(copy), encoding="utf-8")
        (store.facts / f"{name}.parquet").write_bytes(table)
