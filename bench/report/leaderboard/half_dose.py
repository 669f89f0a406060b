"""The half dose: what methods have learned when the reference has learned half.

At the end of training most methods have learned everything, and no table tells them apart. At the
half dose none has: the smallest number of epochs after which the reference has learned at least
half of the facts that the base did not answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bench.evaluation.metrics import CsvGroup, Metric, compared_metrics, metric_table
from bench.evaluation.metrics._per_fact import epochs_to_learn
from bench.report.leaderboard.aggregates import same_facts
from bench.report.leaderboard.fact_table import FactTable
from bench.report.statistics.intervals import Floats, Sample, estimates
from bench.store.knowledge import KnowledgeCategory

if TYPE_CHECKING:
    from bench.report.leaderboard.board import Cell, Row

AT_HALF_DOSE = "learned_at_half_dose"
EPOCHS_UNKNOWN = "epochs_to_learn_unknown"


@dataclass(frozen=True, slots=True)
class LearnedWithin(Metric):
    """A share of facts that the report derives: those learned after so many epochs, or before."""

    epochs: int = 0


@lru_cache
def learned_within(epochs: int | None) -> LearnedWithin:
    """Return the metric of a section's half dose; without a header where there is none."""
    plural = "epoch" if epochs == 1 else "epochs"
    return LearnedWithin(
        AT_HALF_DOSE,
        epochs_to_learn,
        "facts that the base did not answer and that were learned after N epochs; N is the half "
        "dose, the smallest number of epochs after which the reference had learned at least half "
        "of them",
        f"learned after {epochs} {plural}, unknown facts" if epochs is not None else "",
        CsvGroup.LEADING,
        over=(KnowledgeCategory.MAYBE, KnowledgeCategory.UNKNOWN),
        epochs=epochs or 0,
    )


def section_metrics(half_dose: int | None) -> dict[str, Metric]:
    """Return the metrics of a section by name: those of the table, and that of its half dose."""
    found: dict[str, Metric] = {}
    for name, metric in metric_table().items():
        found[name] = metric
        if name == EPOCHS_UNKNOWN:
            found[AT_HALF_DOSE] = learned_within(half_dose)
    return found


def measured_metrics(rows: Iterable[Row]) -> dict[str, Metric]:
    """Return the metrics that rows can have: those of classification only where some row has them.

    The half dose is not among them.
    """
    rows = list(rows)
    return {
        name: metric
        for name, metric in metric_table().items()
        if metric.is_mean or any(row.metrics.get(name) for row in rows)
    }


def compared_names() -> list[str]:
    """Return the names of the metrics that rows are compared in, in the order of the .csv."""
    found = compared_metrics()
    place = found.index(EPOCHS_UNKNOWN) + 1
    return [*found[:place], AT_HALF_DOSE, *found[place:]]


def per_fact(facts: FactTable, metric: Metric) -> Floats:
    """Return a metric's values `[facts that count]` of a cell."""
    values = facts.per_fact(metric)
    if isinstance(metric, LearnedWithin):
        return (values <= metric.epochs).astype(np.float64)
    return values


def half_dose(cells: Sequence[Cell]) -> int | None:
    """Return the half dose of a method; None if it has not learned half when training ends.

    Args:
        cells: Of the reference, one per seed.
    """
    metric = metric_table()[EPOCHS_UNKNOWN]
    by_seed = [cell.facts.per_fact(metric) for cell in cells]
    if not by_seed or not all(map(len, by_seed)):
        return None
    for epochs in range(1, max(cell.record.spec.epochs for cell in cells) + 1):
        learned = [float((values <= epochs).mean()) for values in by_seed]
        if math.fsum(learned) / len(learned) >= 0.5:
            return epochs
    return None


def at_half_dose(rows: Sequence[Row], reference: Row | None) -> list[Row]:
    """Return the rows with the share that each has learned at the half dose of the reference."""
    epochs = half_dose(reference.cells) if reference else None
    metric = learned_within(epochs)
    samples = [_sample(row, metric) for row in rows] if epochs is not None else []
    found = estimates(samples) or [None] * len(rows)
    return [
        replace(row, half_dose=epochs, metrics={**row.metrics, AT_HALF_DOSE: share})
        for row, share in zip(rows, found, strict=True)
    ]


def _sample(row: Row, metric: Metric) -> Sample:
    items = [per_fact(cell.facts, metric) for cell in row.cells]
    present = [values for values in items if len(values)]
    means = [float(values.mean()) for values in present]
    same = same_facts([cell.facts for cell in row.cells], metric)
    return Sample(means, present, metric.bounds, same)
