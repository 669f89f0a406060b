"""What methods learn, keep and carry over, in values of their own beside comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice

import numpy as np

from bench.pages.findings.claim import Effect
from bench.pages.findings.effects import Flags, mean_of, over_seeds
from bench.pages.findings.evidence import Setting, cells_of
from bench.pages.findings.questions.planned_settings import (
    BESIDE,
    answered,
    epochs_of,
    unknown,
)
from bench.pages.findings.verdict import Unit
from bench.report.leaderboard.board import DRIFT, Row
from bench.report.leaderboard.equal_learning import path_of
from bench.report.statistics.equal_learning import BLOCKS, LearningPath, cost_at_share
from bench.store.records import Forgetting

HALF = 0.5
FORGETTING = ("countries", "elements")
BASE = "the untrained base"

Rows = Mapping[str, Row]
"""Rows of a setting, by method."""


def learned(setting: Setting, rows: Rows) -> Iterator[Effect]:
    """Yield how soon each method learns, what is learned, and what is answered elsewhere."""
    rows = {name: row for name, row in rows.items() if unknown(row).any()}
    epochs = {name: epochs_of(row, row.seeds) for name, row in rows.items()}
    for name, table in epochs.items():
        yield mean_of(f"epochs to learn, {name}", setting.title, table, Unit.DOSE)
    for name, table in epochs.items():
        share = np.asarray(table <= rows[name].spec.epochs, dtype=np.float64)
        yield mean_of(f"learned, {name}", setting.title, share, Unit.PERCENT)
    for asked in BESIDE[1:]:
        for name, row in rows.items():
            pair = answered([row, row], row.seeds, asked)
            if pair is not None:
                yield mean_of(f"{asked}, {name}", setting.title, pair[0], Unit.PERCENT)


def drifted(setting: Setting, rows: Rows) -> Iterator[Effect]:
    """Yield how far each method drifts; intervals are over seeds."""
    for drift in (_drift_at_half, _last_drift):
        for name, row in rows.items():
            yield from drift(setting, name, row)


def kept(setting: Setting, rows: Rows) -> Iterator[Effect]:
    """Yield which share of each forgetting task is answered in the end, by method and by the base.

    Of the base, it is that of the first method's cells: all ask it the same.
    """
    for task in FORGETTING:
        for name, row in rows.items():
            yield from _share(setting, f"{task}, {name}", [f.tuned_items for f in _of(row, task)])
        for row in islice(rows.values(), 1):
            yield from _share(setting, f"{task}, {BASE}", [f.base_items for f in _of(row, task)])


def _drift_at_half(setting: Setting, name: str, row: Row) -> Iterator[Effect]:
    """Yield drift where half is learned, in seeds that reach it."""
    measured = with_drift(row)
    path = drift_path(measured, measured.seeds, unknown(row))
    if path is not None:
        whole = np.exp(cost_at_share(path, HALF).whole)
        reached = [np.full(BLOCKS, value) for value in whole[~np.isnan(whole)]]
        if reached:
            about = f"drift with {100 * HALF:.0f}% learned, {name}"
            yield over_seeds(about, setting.title, reached, Unit.NATS)


def _last_drift(setting: Setting, name: str, row: Row) -> Iterator[Effect]:
    """Yield drift after the last epoch, of as many texts as n."""
    last = [np.array(found.tuned_items) for found in _of(row, DRIFT)]
    if last:
        yield over_seeds(f"drift after the last epoch, {name}", setting.title, last, Unit.NATS)


def _share(setting: Setting, name: str, items: list[list[float]]) -> Iterator[Effect]:
    if items and len({len(of_seed) for of_seed in items}) == 1:
        yield mean_of(name, setting.title, np.array(items, dtype=np.float64), Unit.PERCENT)


def _of(row: Row, task: str) -> list[Forgetting]:
    return [found for cell in row.cells for found in cell.record.forgetting if found.task == task]


def with_drift(row: Row) -> Row:
    """Leave out the seeds in which drift was not measured at every checkpoint."""
    cells = (cell for cell in row.cells if cell.record.path)
    return replace(
        row, cells=tuple(c for c in cells if all(p.drift is not None for p in c.record.path))
    )


def drift_path(row: Row, seeds: tuple[int, ...], facts: Flags) -> LearningPath | None:
    """Return the path of some seeds and facts; None if there is no seed."""
    cells = cells_of(row, seeds)
    return path_of(cells, epochs_of(row, seeds, facts), DRIFT) if cells else None
