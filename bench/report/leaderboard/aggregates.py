"""Metrics and forgetting tasks over the seeds of rows, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from bench.evaluation.metrics import CsvGroup, Metric, metric_table
from bench.report.leaderboard.board import DRIFT, Cell, Forgotten, Learned
from bench.report.leaderboard.fact_table import FactTable
from bench.report.statistics.intervals import (
    DIFFERENCE,
    NON_NEGATIVE,
    SHARE,
    UNBOUNDED,
    Bounds,
    Estimate,
    Floats,
    Sample,
    estimates,
)
from bench.store.records import Evaluated, Forgetting


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What cells of one setting measured.

    Attributes:
        metrics: By name; None where no cell has it.
        forgetting: By task; some of the cells have measured it.
        evaluated: By task of `--evaluate`, likewise.
    """

    metrics: dict[str, Estimate | None]
    forgetting: dict[str, Forgotten]
    evaluated: dict[str, Learned]


def aggregates(
    groups: Sequence[Sequence[Cell]], metrics: Sequence[str] | None = None
) -> list[Aggregate]:
    """Aggregate each group of done cells; what all of them measured is estimated together.

    Args:
        groups: Cells of one setting each.
        metrics: Names of those that are wanted; all without it.
    """
    metrics = list(metric_table()) if metrics is None else metrics
    samples = [[_metric(name, cells) for name in metrics] for cells in groups]
    entries = [_by_task(cells) for cells in groups]
    losses = [[_losses(*entry) for entry in by_task.items()] for by_task in entries]
    learned = [_by_evaluated_task(cells) for cells in groups]
    gains = [[_scores(entry) for entry in by_task.values()] for by_task in learned]
    found = iter(estimates(list(chain.from_iterable((*samples, *losses, *gains)))))
    by_group = [{name: next(found) for name in metrics} for _ in groups]
    forgotten = [
        {task: _forgotten(task, measured, next(found)) for task, measured in by_task.items()}
        for by_task in entries
    ]
    evaluated = [
        {task: Learned(task, _mean_base(entry), next(found)) for task, entry in by_task.items()}
        for by_task in learned
    ]
    return [Aggregate(*each) for each in zip(by_group, forgotten, evaluated, strict=True)]


def _metric(name: str, cells: Sequence[Cell]) -> Sample:
    metric = metric_table()[name]
    found = [(cell, getattr(cell.record.metrics, name, None)) for cell in cells]
    values = [value for _, value in found if value is not None]
    if metric.csv is CsvGroup.PLAIN and not metric.header:  # Nobody sees its interval.
        return Sample(values, None, metric.bounds)
    measured = [cell.facts for cell, value in found if value is not None]
    items = [facts.per_fact(metric) for facts in measured]
    if not metric.is_mean:
        # Without some subject there may be no value: then there is no interval over subjects.
        whole = items if all(map(len, items)) else None
        return Sample(values, whole, metric.bounds, jackknifed=True)
    return Sample(values, items, bounds_of(metric, cells), same_facts(measured, metric))


def bounds_of(metric: Metric, cells: Sequence[Cell]) -> Bounds:
    """Return the least and the greatest mean: facts never learned count as one epoch more."""
    if metric.column != "epochs_to_learn" or metric.is_share or not cells:
        return metric.bounds
    return 0.0, max(cell.record.spec.epochs for cell in cells) + 1.0


def same_facts(tables: Sequence[FactTable], metric: Metric) -> bool:
    """Return whether the same facts count for a metric in all cells: wrong answers rarely do."""
    if not tables:
        return True
    first, *others = [table.counted(metric) for table in tables]
    return all(
        first is other or (first is not None and other is not None and np.array_equal(first, other))
        for other in others
    )


def item_losses(entry: Forgetting) -> Floats:
    """Return what each item lost, `[items]`: base minus tuned, or its KL for drift."""
    tuned = np.asarray(entry.tuned_items, dtype=np.float64)
    return tuned if entry.task == DRIFT else np.asarray(entry.base_items) - tuned


def _by_task(cells: Sequence[Cell]) -> dict[str, list[Forgetting]]:
    """Return what was forgotten by task, `[seeds]` each."""
    found: dict[str, list[Forgetting]] = {}
    for cell in cells:
        for entry in cell.record.forgetting:
            found.setdefault(entry.task, []).append(entry)
    return dict(sorted(found.items()))


def _by_evaluated_task(cells: Sequence[Cell]) -> dict[str, list[Evaluated]]:
    """Return what was learned by task of `--evaluate`, `[seeds]` each."""
    found: dict[str, list[Evaluated]] = {}
    for cell in cells:
        for entry in cell.record.evaluated:
            found.setdefault(entry.task, []).append(entry)
    return dict(sorted(found.items()))


def _scores(entries: Sequence[Evaluated]) -> Sample:
    items = [np.asarray(entry.tuned_items, dtype=np.float64) for entry in entries]
    ends = [end for values in items if len(values) for end in (values.min(), values.max())]
    bounds = SHARE if all(0 <= end <= 1 for end in ends) else UNBOUNDED
    return Sample([entry.tuned for entry in entries], items, bounds)


def _mean_base(entries: Sequence[Evaluated]) -> float:
    return float(np.mean([entry.base for entry in entries]))


def _losses(task: str, entries: Sequence[Forgetting]) -> Sample:
    ends = [f(s) for e in entries for s in (e.base_items, e.tuned_items) if s for f in (min, max)]
    bounds = DIFFERENCE if all(0 <= end <= 1 for end in ends) else UNBOUNDED
    return Sample(
        [entry.forgetting for entry in entries],
        [item_losses(entry) for entry in entries],
        NON_NEGATIVE if task == DRIFT else bounds,
    )


def _forgotten(task: str, entries: Sequence[Forgetting], lost: Estimate | None) -> Forgotten:
    at_floor = all(entry.at_floor for entry in entries)
    return Forgotten(
        task=task,
        base=float(np.mean([entry.base for entry in entries])),
        tuned=float(np.mean([entry.tuned for entry in entries])),
        at_floor=at_floor,
        lost=None if at_floor else lost,
    )
