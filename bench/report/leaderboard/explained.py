"""What `--explain` measured, over the seeds of rows and beside what they forgot.

A point is one cell. Sizes and drift are positive and span orders of magnitude, so they are
compared by their logarithms. Shares are taken as they are: where a method keeps out of some
directions by its form, theirs is 0 but for rounding, and the logarithm would outweigh all others.
So is what was lost of a task, which may be negative.
Methods are compared by the means of their cells, over seeds and rates; within a method, each cell
is taken less that mean. Candidates of a tuning are cells of their own facts, and a group of their
own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from bench.evaluation.why import MEASURES, Measure
from bench.report.leaderboard.board import DRIFT, Cell, Row, Section
from bench.report.statistics.correlation import Correlation, correlation, correlation_within
from bench.report.statistics.intervals import NON_NEGATIVE, SHARE, Estimate, Sample, estimates


@dataclass(frozen=True, slots=True)
class Point:
    """A cell: a measure of why, against what was lost.

    Attributes:
        row: The row that it belongs to, or that was chosen among candidates like it.
        tried: Whether it is a candidate of a tuning.
        value: The measure: above 0, or a share.
        lost: Drift, above 0, or the share that was lost of a task.
    """

    row: Row
    tried: bool
    value: float
    lost: float


@dataclass(frozen=True, slots=True)
class Association:
    """How a measure goes with what was lost of a task.

    Attributes:
        over: Over methods, each by the mean of its cells.
        within: Within methods, over seeds and rates.
    """

    measure: Measure
    task: str
    over: Correlation | None
    within: Correlation | None


def measured(row: Row) -> dict[str, Estimate | None]:
    """Return each measure of a row, the mean over its seeds, by name; None where there is none."""
    samples = []
    for measure in MEASURES:
        values = [measure.of(cell.record.change) for cell in row.cells]
        bounds = SHARE if measure.is_share else NON_NEGATIVE
        samples.append(Sample([v for v in values if v is not None], [], bounds))
    return dict(zip((m.name for m in MEASURES), estimates(samples), strict=True))


def is_explained(row: Row) -> bool:
    """Return whether some cell of a row was run with `--explain`."""
    return any(cell.record.change is not None for cell in row.cells)


def lost_tasks(section: Section) -> list[str]:
    """Return the forgetting tasks of a section that the base is not at floor on, drift first."""
    tasks = [
        task
        for task in section.forgetting_tasks
        if any((found := row.forgetting.get(task)) and not found.at_floor for row in section.done)
    ]
    return sorted(tasks, key=lambda task: (task != DRIFT, task))


def points(section: Section, measure: Measure, task: str) -> list[Point]:
    """Return the cells of a section that have a measure and a forgetting task."""
    return [
        Point(row, tried, value, lost)
        for row in section.rows
        for tried, cell in _cells(row)
        if (value := measure.of(cell.record.change)) is not None
        and (value or measure.is_share)
        and (lost := _lost(cell, task)) is not None
    ]


def association(section: Section, measure: Measure, task: str) -> Association:
    """Return how a measure goes with what was lost of a task, over methods and within them."""
    groups: dict[tuple[str, bool], tuple[list[float], list[float]]] = {}
    for point in points(section, measure, task):
        x, y = groups.setdefault((point.row.spec.asked, point.tried), ([], []))
        x.append(point.value if measure.is_share else math.log(point.value))
        y.append(math.log(point.lost) if task == DRIFT else point.lost)
    methods = [pair for (_, tried), pair in groups.items() if not tried]
    over = correlation([fmean(x) for x, _ in methods], [fmean(y) for _, y in methods])
    within = correlation_within([x for x, _ in groups.values()], [y for _, y in groups.values()])
    return Association(measure, task, over, within)


def _cells(row: Row) -> Iterator[tuple[bool, Cell]]:
    for cell in row.cells:
        yield False, cell
    for tried in row.tuning.tried if row.tuning else ():
        for cell in tried.cells:
            yield True, cell


def _lost(cell: Cell, task: str) -> float | None:
    """Return what a cell lost of a task; None if that was not measured, or nothing drifted."""
    found = next((one for one in cell.record.forgetting if one.task == task), None)
    if found is None or found.at_floor:
        return None
    return found.forgetting if task != DRIFT or found.forgetting > 0 else None
