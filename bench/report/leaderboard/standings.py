"""Where each row of a section stands: its differences to the reference, and its rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.metrics import Metric
from bench.evaluation.metrics.labels import AUROC
from bench.report.leaderboard.aggregates import item_losses, same_facts
from bench.report.leaderboard.board import DRIFT, Cell, Row, Standing
from bench.report.leaderboard.half_dose import (
    EPOCHS_UNKNOWN,
    compared_names,
    per_fact,
    section_metrics,
)
from bench.report.statistics.comparison import Comparison, Measured, compare_all, corrected
from bench.report.statistics.intervals import (
    DECIDING_SEEDS,
    FEWEST_ITEMS,
    UNBOUNDED,
    Estimate,
    Floats,
)
from bench.report.statistics.ranking import RankInterval, rank_intervals
from tasks.errors import unknown_name

DEFAULT_REFERENCE = "lora"
HEADLINES = (AUROC, EPOCHS_UNKNOWN, "reliability_unknown", "reliability")
"""Rows are ranked by the first of these metrics that any row has: before the ceiling if possible,
since most methods learn everything in the end. Only classification has the first one."""


def forgetting_metric(task: str) -> str:
    """Return the name of a forgetting task's metric: `forgetting.elements`, or `drift`."""
    return task if task == DRIFT else f"forgetting.{task}"


def evaluation_metric(task: str) -> str:
    """Return the name of the metric of a task of `--evaluate`: `learned.gsm8k`."""
    return f"learned.{task}"


def check_reference(reference: str, rows: Sequence[Row]) -> None:
    """Check that some row is a reference that was asked for.

    Raises:
        UsageError: None is; names near ones.
    """
    if not any(_is(reference, row) for row in rows):
        raise unknown_name("reference", reference, {row.spec.asked for row in rows})


def reference_row(rows: Sequence[Row], reference: str) -> Row | None:
    """Return the row that others are compared with.

    Of several settings it is the first of `rows` without a first step, else the first one.
    """
    found = [row for row in rows if row.cells and _is(reference, row)]
    return min(found, key=lambda row: bool(row.spec.after), default=None)


def _is(reference: str, row: Row) -> bool:
    return reference in (row.label, row.spec.asked, row.spec.recipe)


def headline(rows: Sequence[Row]) -> str:
    """Return the metric that rows are ranked by: facts the base did not answer, if it left any.

    Of a classification it is the area under the ROC curve, which needs no threshold.
    Where no facts are asked it is the first task of `--evaluate`.
    """
    present = [name for name in HEADLINES if any(row.metrics.get(name) for row in rows)]
    evaluated = sorted({task for row in rows for task in row.evaluated})
    return next(iter([*present, *map(evaluation_metric, evaluated)]), HEADLINES[-1])


def headline_of(row: Row, name: str) -> Estimate | None:
    """Return a row's value of the metric that rows are ranked by."""
    by_task = {evaluation_metric(task): found.tuned for task, found in row.evaluated.items()}
    return by_task[name] if name in by_task else row.metrics.get(name)


def with_standings(
    rows: Sequence[Row], reference: Row | None, ranked_by: Mapping[str, Measured]
) -> tuple[Row, ...]:
    """Return the rows with their standings; without a reference they have ranks alone.

    Args:
        rows: Of a section.
        reference: The one that others are compared with.
        ranked_by: The result of `ranked_values` for the rows.
    """
    tasks = sorted({task for row in rows for task in row.forgetting})
    metrics = [name for name in compared_names() if any(row.metrics[name] for row in rows)]
    metrics += map(forgetting_metric, tasks)
    metrics += map(evaluation_metric, sorted({task for row in rows for task in row.evaluated}))
    columns = compare_columns(rows, reference, metrics) if reference is not None else {}
    ranks = _ranks(ranked_by)
    found = []
    for index, row in enumerate(rows):
        compared = {name: c for name, column in columns.items() if (c := column[index]) is not None}
        found.append(replace(row, standing=Standing(compared, ranks.get(row.label))))
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
    pairs = [
        on_common_facts(row, reference, metric) or (measured(row, metric), against[metric])
        for metric in metrics
        for row in others
    ]
    found = iter(compare_all(pairs))
    return {
        metric: corrected([None if row.label == reference.label else next(found) for row in rows])
        for metric in metrics
    }


def measured(row: Row, metric: str) -> Measured:
    """Return one metric of a row, per seed and fact or item."""
    found = section_metrics(row.half_dose).get(metric)
    if found is None:
        return _learned(row, metric) or _forgotten(row, metric)
    return _measured(found, {_seed(cell): per_fact(cell.facts, found) for cell in row.cells})


def _measured(metric: Metric, by_seed: Mapping[int, Floats]) -> Measured:
    low, high = metric.bounds
    return Measured(by_seed, (low - high, high - low), more_is_better=metric.more_is_better)


def on_common_facts(row: Row, reference: Row, metric: str) -> tuple[Measured, Measured] | None:
    """Pair two rows that did not train the same facts: on those that all of their cells have.

    None where all cells have the same facts, which is the rule, or where nothing can be paired.

    Args:
        row: A method, such as one that filters facts.
        reference: Another of the same section.
        metric: The metric's name.
    """
    found = section_metrics(row.half_dose).get(metric)
    seeds = {*row.seeds} & {*reference.seeds}
    cells = [[c for c in one.cells if _seed(c) in seeds] for one in (row, reference)]
    tables = [cell.facts for own in cells for cell in own]
    if found is None or not tables or same_facts(tables, found):
        return None
    counts = [table.counted(found) for table in tables]
    common = np.logical_and.reduce([one for one in counts if one is not None])
    pair = [
        {_seed(c): per_fact(c.facts, found)[_among(common, c.facts.counted(found))] for c in own}
        for own in cells
    ]
    return _measured(found, pair[0]), _measured(found, pair[1])


def _among(common: NDArray[np.bool_], counted: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return which of the facts that count are common, `[facts that count]`."""
    return common if counted is None else common[counted]


def _learned(row: Row, metric: str) -> Measured | None:
    """Return the scores of a task of `--evaluate`; None if the metric is none of it."""
    entries = {
        _seed(cell): entry
        for cell in row.cells
        for entry in cell.record.evaluated
        if evaluation_metric(entry.task) == metric
    }
    if not entries:
        return None
    return Measured(
        by_seed={seed: np.asarray(entry.tuned_items) for seed, entry in entries.items()},
        bounds=UNBOUNDED,
        more_is_better=True,
        items={seed: entry.digest for seed, entry in entries.items()},
    )


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


def _ranks(by_label: Mapping[str, Measured]) -> dict[str, RankInterval | None]:
    """Return by label the ranks that rows may have, from the comparisons of all pairs."""
    rows = list(by_label.values())
    ps, better = np.full((len(rows), len(rows)), np.nan), np.zeros((len(rows), len(rows)))
    pairs = list(combinations(range(len(rows)), 2))
    compared = compare_all([(rows[one], rows[other]) for one, other in pairs])
    for (one, other), found in zip(pairs, compared, strict=True):
        if found is None or found.p is None:
            continue
        sign = 1 if rows[one].more_is_better else -1
        ps[one, other] = ps[other, one] = found.p
        better[one, other] = sign * found.difference.value
        better[other, one] = -better[one, other]
    return dict(zip(by_label, rank_intervals(ps, better), strict=True))


def ranked_values(rows: Sequence[Row]) -> dict[str, Measured]:
    """Return by label the headline of the rows that can be ranked.

    These have three seeds or more, and in each of them all of the section's facts, five or more.
    """
    name = headline(rows)
    found = {row.label: measured(row, name) for row in rows if row.cells}
    sizes = {label: {len(v) for v in one.by_seed.values()} for label, one in found.items()}
    facts = max((size for of_row in sizes.values() for size in of_row), default=0)
    return {
        label: one
        for label, one in found.items()
        if len(one.by_seed) >= DECIDING_SEEDS and facts >= FEWEST_ITEMS and sizes[label] == {facts}
    }
