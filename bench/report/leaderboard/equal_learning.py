"""What a row had cost at equal learning: drift and forgetting where 90% or 50% is learned.

Taken from the path of each training: what was forgotten at its checkpoints, and the share of facts
learned by then, among those that the base did not answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.evaluation.metrics import Metric, metric_table
from bench.report.leaderboard.aggregates import same_facts
from bench.report.leaderboard.board import DRIFT, Cell, Row
from bench.report.leaderboard.half_dose import EPOCHS_UNKNOWN
from bench.report.statistics.comparison import Comparison, corrected
from bench.report.statistics.equal_learning import (
    LearningPath,
    at_equal_learning,
    compare_at_equal_learning,
)
from bench.report.statistics.intervals import Floats

SHARES = (0.9, 0.5)


def equal_learning_metric(task: str, share: float) -> str:
    """Return the name of a cost at equal learning: `drift_at_90`, `forgetting_at_50.elements`."""
    at = f"at_{100 * share:.0f}"
    return f"drift_{at}" if task == DRIFT else f"forgetting_{at}.{task}"


def learning_path(row: Row, task: str) -> LearningPath | None:
    """Return a row's path; None unless each seed has learned the same facts and measured the task.

    Args:
        row: A method.
        task: `drift`, or a forgetting task that was measured at every checkpoint.
    """
    facts = [cell.facts.per_fact(_epochs()) for cell in row.cells]
    if not all(map(len, facts)):
        return None
    # A filter by chance keeps other facts in each seed, whose curves cannot be put side by side.
    if not same_facts([cell.facts for cell in row.cells], _epochs()):
        return None
    return path_of(row.cells, np.stack(facts), task) if facts else None


def path_of(cells: Sequence[Cell], epochs_to_learn: Floats, task: str) -> LearningPath | None:
    """Return the path of some cells; None unless all measured the task at the same checkpoints.

    Args:
        cells: One for each seed.
        epochs_to_learn: Of the facts that count, `[cells, facts]`.
        task: `drift`, or a forgetting task.
    """
    costs = [_costs(cell, task) for cell in cells]
    if not costs or not all(costs) or len({tuple(found) for found in costs}) > 1:
        return None
    return LearningPath(
        seeds=tuple(cell.record.spec.seed for cell in cells),
        epochs_to_learn=epochs_to_learn,
        checkpoints=np.array(list(costs[0]), dtype=np.float64),
        costs=np.array([list(found.values()) for found in costs]),
        as_ratio=task == DRIFT,
    )


def _epochs() -> Metric:
    return metric_table()[EPOCHS_UNKNOWN]


def _costs(cell: Cell, task: str) -> dict[int, float]:
    """Return what was lost of a task by checkpoint; empty unless all checkpoints have it."""
    path = cell.record.path
    found = {
        point.epoch: value
        for point in path
        if (value := point.drift if task == DRIFT else point.forgetting.get(task)) is not None
    }
    return found if len(found) == len(path) else {}


def path_tasks(rows: Sequence[Row]) -> list[str]:
    """Return the tasks that some row measured at its checkpoints, `drift` last."""
    points = [point for row in rows for cell in row.cells for point in cell.record.path]
    tasks = sorted({task for point in points for task in point.forgetting})
    return [*tasks, *([DRIFT] if any(point.drift is not None for point in points) else [])]


def with_equal_learning(rows: Sequence[Row], reference: Row | None) -> tuple[Row, ...]:
    """Return the rows with their costs at equal learning, compared with those of the reference.

    Args:
        rows: Of a section, with their other comparisons.
        reference: The row that others are compared with.
    """
    found = [dict(row.metrics) for row in rows]
    compared = [dict(row.standing.comparisons) for row in rows]
    for task in path_tasks(rows):
        paths = [learning_path(row, task) for row in rows]
        for share in SHARES:
            name = equal_learning_metric(task, share)
            column = corrected(_compared(rows, paths, reference, share))
            for place, (path, comparison) in enumerate(zip(paths, column, strict=True)):
                found[place][name] = at_equal_learning(path, share) if path else None
                if comparison is not None:
                    compared[place][name] = comparison
    return tuple(
        replace(row, metrics=metrics, standing=replace(row.standing, comparisons=comparisons))
        for row, metrics, comparisons in zip(rows, found, compared, strict=True)
    )


def _compared(
    rows: Sequence[Row],
    paths: Sequence[LearningPath | None],
    reference: Row | None,
    share: float,
) -> list[Comparison | None]:
    """Compare each path with the reference's; None where the two did not train the same facts."""
    if reference is None or not reference.cells:
        return [None] * len(rows)
    against = next(p for p, row in zip(paths, rows, strict=True) if row.label == reference.label)
    own = reference.cells[0].facts
    return [
        compare_at_equal_learning(path, against, share)
        if path is not None
        and against is not None
        and path is not against
        and same_facts([row.cells[0].facts, own], _epochs())
        else None
        for row, path in zip(rows, paths, strict=True)
    ]


def learned_curve(path: LearningPath) -> Floats:
    """Return the share learned by each checkpoint, `[seeds, checkpoints]`."""
    return np.asarray((path.epochs_to_learn[:, :, None] <= path.checkpoints).mean(axis=1))
