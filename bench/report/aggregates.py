"""One metric, one forgetting task over the seeds of a row, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.report.board import DRIFT, Cell, Forgotten
from bench.report.measures import FACT_COLUMNS, item_losses, per_fact
from bench.report.statistics import DIFFERENCE, NON_NEGATIVE, UNBOUNDED, Estimate, estimate


def metric_of(name: str, cells: Sequence[Cell]) -> Estimate | None:
    """Return a metric over cells of one setting; None where none of them has it."""
    fact_column = FACT_COLUMNS[name]
    values, items = [], []
    for cell in cells:
        value = getattr(cell.record.metrics, name, None)
        if value is not None:
            values.append(value)
            items.append(per_fact(cell.rows, fact_column))
    return estimate(values, items, fact_column.bounds)


def forgotten_of(task: str, cells: Sequence[Cell]) -> Forgotten:
    """Return a forgetting task over cells of one setting, some of which have measured it."""
    entries = [e for cell in cells for e in cell.record.forgetting if e.task == task]
    at_floor = all(entry.at_floor for entry in entries)
    scores = [score for entry in entries for score in (*entry.base_items, *entry.tuned_items)]
    bounds = DIFFERENCE if all(0 <= score <= 1 for score in scores) else UNBOUNDED
    lost = estimate(
        [entry.forgetting for entry in entries],
        [item_losses(entry) for entry in entries],
        NON_NEGATIVE if task == DRIFT else bounds,
    )
    return Forgotten(
        task=task,
        base=float(np.mean([entry.base for entry in entries])),
        tuned=float(np.mean([entry.tuned for entry in entries])),
        at_floor=at_floor,
        lost=None if at_floor else lost,
    )
