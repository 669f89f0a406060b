"""The paths of pictures: what a method had learned and lost after each epoch, of each seed too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

import numpy as np

from bench.evaluation.metrics import metric_table
from bench.redaction import safe_text
from bench.report.leaderboard.aggregates import same_facts
from bench.report.leaderboard.board import DRIFT, Row, Section
from bench.report.leaderboard.equal_learning import path_tasks
from bench.report.leaderboard.half_dose import EPOCHS_UNKNOWN
from bench.report.statistics.intervals import NON_NEGATIVE, SHARE, Estimate, estimate

LEARNED, LEARNED_ALL, LOSS = "learned", "learned-all", "loss"
"""Keys of the measures beside those of forgetting tasks, whose keys are `lost:TASK`."""


class PathMeasure(TypedDict):
    """A measure over epochs; `better` as in `PictureAxis`."""

    key: str
    title: str
    better: int


class PathSeries(TypedDict):
    """Values of a measure `[epochs]`: means with the ends of intervals, and those of each seed."""

    epochs: list[int]
    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]
    seeds: list[list[float | None]]


def path_measures(
    section: Section, series: Iterable[Mapping[str, PathSeries]]
) -> list[PathMeasure]:
    """Return what some method has over epochs: learned first, then what was lost.

    Args:
        section: The section of the methods.
        series: Of each method, as `row_series` returns them.
    """
    there = {key for of_row in series for key in of_row}
    tasks = [task for task in path_tasks(section.done)[::-1] if f"lost:{task}" in there]
    learned = "learned of the facts the base did not answer (%)"
    found = [
        PathMeasure(key=LEARNED, title=section.worded(learned), better=1),
        PathMeasure(key=LEARNED_ALL, title=section.worded("learned of all facts (%)"), better=1),
        *(PathMeasure(key=f"lost:{task}", title=_lost(task), better=-1) for task in tasks),
        PathMeasure(key=LOSS, title="training loss (nats per token)", better=-1),
    ]
    return [measure for measure in found if measure["key"] in there]


def _lost(task: str) -> str:
    if task == DRIFT:
        return "drift from the base (nats per token)"
    return f"forgotten of {safe_text(task)} (percentage points)"


def row_series(row: Row, section: Section) -> dict[str, PathSeries]:
    """Return what a row has over epochs, by the key of the measure; what it lacks is left out."""
    found = {
        LEARNED: _learned(row, EPOCHS_UNKNOWN),
        LEARNED_ALL: _learned(row, "epochs_to_learn"),
        **{f"lost:{task}": _costs(row, task) for task in path_tasks(section.done)},
        LOSS: _losses(row),
    }
    return {key: series for key, series in found.items() if series is not None}


def _learned(row: Row, name: str) -> PathSeries | None:
    """Return the share learned after each epoch; None where a seed has no such facts."""
    metric = metric_table()[name]
    by_seed = [cell.facts.per_fact(metric) for cell in row.cells]
    if not by_seed or not all(map(len, by_seed)):
        return None
    same = same_facts([cell.facts for cell in row.cells], metric)
    epochs = list(range(row.spec.epochs + 1))
    learned = [[(values <= epoch).astype(np.float64) for values in by_seed] for epoch in epochs]
    found = [
        estimate([float(one.mean()) for one in items], items, SHARE, same_facts=same)
        for items in learned
    ]
    seeds = [[float(items[place].mean()) for items in learned] for place in range(len(by_seed))]
    return _series(epochs, found, seeds, 100)


def _costs(row: Row, task: str) -> PathSeries | None:
    """Return what was lost at the checkpoints that all seeds have; None where nothing was."""
    paths = []
    for cell in row.cells:
        values = {
            point.epoch: point.drift if task == DRIFT else point.forgetting.get(task)
            for point in cell.record.path
        }
        there = {epoch: value for epoch, value in values.items() if value is not None}
        paths.append({0: 0.0} | there if there else {})
    scale = 1 if task == DRIFT else 100
    return _over_seeds(paths, scale, (-math.inf, math.inf))


def _losses(row: Row) -> PathSeries | None:
    curves = [
        {point.epoch: point.loss for point in cell.record.curve if point.loss is not None}
        for cell in row.cells
    ]
    return _over_seeds(curves, 1, NON_NEGATIVE)


def _over_seeds(
    paths: Sequence[dict[int, float]], scale: float, bounds: tuple[float, float]
) -> PathSeries | None:
    """Return the mean over seeds at each epoch that all have, with intervals from three on."""
    shared = sorted(set.intersection(*map(set, paths))) if paths else []
    if not shared:
        return None
    found = [estimate([path[epoch] for path in paths], [], bounds) for epoch in shared]
    return _series(shared, found, [[path[e] for e in shared] for path in paths], scale)


def _series(
    epochs: list[int],
    found: Sequence[Estimate | None],
    seeds: Sequence[Sequence[float]],
    scale: float,
) -> PathSeries:
    def shown(value: float | None) -> float | None:
        ok = value is not None and math.isfinite(value)
        return float(f"{value * scale:.4g}") if ok and value is not None else None

    ends = [one.interval if one else None for one in found]
    return PathSeries(
        epochs=epochs,
        mean=[shown(one.value if one else None) for one in found],
        low=[shown(end.low if end else None) for end in ends],
        high=[shown(end.high if end else None) for end in ends],
        seeds=[[shown(value) for value in path] for path in seeds] if len(seeds) > 1 else [],
    )
