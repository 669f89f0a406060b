"""Where each row of a section stands: its differences to the reference, and its rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench.evaluation.metrics import compared_metrics, metric_table
from bench.report.leaderboard.aggregates import item_losses
from bench.report.leaderboard.board import DRIFT, Cell, Row, Standing
from bench.report.statistics.comparison import Comparison, Measured, compare_all, corrected
from bench.report.statistics.intervals import UNBOUNDED, Floats
from bench.report.statistics.ranking import bootstrap_means, improvement, rank_intervals
from tasks.errors import unknown_name

DEFAULT_REFERENCE = "lora"
HEADLINES = ("reliability_unknown", "reliability")
"""Rows are ranked by the first of these metrics that any row has; tables always show both."""


def forgetting_metric(task: str) -> str:
    """Return the name of a forgetting task's metric: `forgetting.elements`, or `drift`."""
    return task if task == DRIFT else f"forgetting.{task}"


def check_reference(reference: str, rows: Sequence[Row]) -> None:
    """Check that some row is a reference that was asked for.

    Raises:
        UsageError: None is; names near ones.
    """
    if not any(_is(reference, row) for row in rows):
        raise unknown_name("reference", reference, {row.spec.asked for row in rows})


def reference_row(rows: Sequence[Row], reference: str) -> Row | None:
    """Return the row that others are compared with: of several settings, the first of `rows`."""
    return next((row for row in rows if row.cells and _is(reference, row)), None)


def _is(reference: str, row: Row) -> bool:
    return reference in (row.label, row.spec.asked, row.spec.recipe)


def headline(rows: Sequence[Row]) -> str:
    """Return the metric that rows are ranked by: facts the base did not answer, if it left any."""
    present = (name for name in HEADLINES if any(row.metrics[name] for row in rows))
    return next(present, HEADLINES[-1])


def with_standings(
    rows: Sequence[Row], reference: Row | None, ranked_by: Mapping[str, Floats]
) -> tuple[Row, ...]:
    """Return the rows with their standings; without a reference they have ranks alone.

    Args:
        rows: Of a section.
        reference: The one that others are compared with.
        ranked_by: The result of `ranked_values` for the rows.
    """
    tasks = sorted({task for row in rows for task in row.forgetting})
    metrics = [name for name in compared_metrics() if any(row.metrics[name] for row in rows)]
    metrics += map(forgetting_metric, tasks)
    columns = compare_columns(rows, reference, metrics) if reference is not None else {}
    ranked = _ranked(ranked_by, reference)
    found = []
    for index, row in enumerate(rows):
        compared = {name: c for name, column in columns.items() if (c := column[index]) is not None}
        standing = replace(ranked.get(row.label, Standing()), comparisons=compared)
        found.append(replace(row, standing=standing))
    return tuple(found)


def compare_rows(
    rows: Sequence[Row], reference: Row | None, metric: str
) -> list[Comparison | None]:
    """Compare each row with the reference in one metric, Holm's correction over them.

    None for the reference itself, and for rows that share no seed or no items with it.
    """
    if reference is None:
        return [None] * len(rows)
    return compare_columns(rows, reference, [metric])[metric]


def compare_columns(
    rows: Sequence[Row], reference: Row, metrics: Sequence[str]
) -> dict[str, list[Comparison | None]]:
    """Compare each row with the reference in several metrics, each as `compare_rows` does."""
    others = [row for row in rows if row.label != reference.label]
    against = {metric: measured(reference, metric) for metric in metrics}
    pairs = [(measured(row, metric), against[metric]) for metric in metrics for row in others]
    found = iter(compare_all(pairs))
    return {
        metric: corrected([None if row.label == reference.label else next(found) for row in rows])
        for metric in metrics
    }


def measured(row: Row, metric: str) -> Measured:
    """Return one metric of a row, per seed and fact or item."""
    found = metric_table().get(metric)
    if found is None:
        return _forgotten(row, metric)
    low, high = found.bounds
    values = {_seed(cell): cell.facts.per_fact(found) for cell in row.cells}
    return Measured(values, (low - high, high - low), more_is_better=found.more_is_better)


def _forgotten(row: Row, metric: str) -> Measured:
    entries = {
        _seed(cell): entry
        for cell in row.cells
        for entry in cell.record.forgetting
        if forgetting_metric(entry.task) == metric and not entry.at_floor
    }
    return Measured(
        by_seed={seed: item_losses(entry) for seed, entry in entries.items()},
        bounds=UNBOUNDED,
        more_is_better=False,
        items={seed: entry.digest for seed, entry in entries.items()},
    )


def _seed(cell: Cell) -> int:
    return cell.record.spec.seed


def _ranked(values: Mapping[str, Floats], reference: Row | None) -> dict[str, Standing]:
    """Return by label the rank of each row that can be ranked, two or more, without comparisons."""
    if len(values) < 2:
        return {}
    means = dict(zip(values, bootstrap_means(list(values.values())), strict=True))
    intervals = rank_intervals(np.stack(list(means.values())))
    own = reference.label if reference else ""
    beaten = {
        label: improvement(found, means[own])
        for label, found in means.items()
        if own in means and label != own
    }
    return {
        label: Standing(rank=interval, improvement=beaten.get(label))
        for label, interval in zip(values, intervals, strict=True)
    }


def ranked_values(rows: Sequence[Row]) -> dict[str, Floats]:
    """Return by label the headline `[seeds, facts]` of the rows that have the section's facts."""
    name = headline(rows)
    found = {row.label: list(measured(row, name).by_seed.values()) for row in rows if row.cells}
    facts = max((len(values) for seeds in found.values() for values in seeds), default=0)
    return {
        label: np.stack(seeds)
        for label, seeds in found.items()
        if facts and all(len(values) == facts for values in seeds)
    }
