"""Learning curves: teacher-forced token accuracy and loss after each epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from bench.report.leaderboard.board import Cell, Row, Section
from bench.report.plots._kinds import plot
from bench.report.plots._style import Styles, draw_curve, new_figure, shared_legend
from bench.report.statistics.intervals import (
    NON_NEGATIVE,
    SHARE,
    Bounds,
    Estimate,
    Floats,
    estimate,
)
from bench.store.records import Epoch

_BANDS_AT_MOST = 4

Value = Callable[[Epoch], float | None]


@plot(
    "learning-curves",
    "How fast each method learns the facts that it trains, teacher-forced.",
    order=40,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw accuracy and loss per epoch; None where no cell recorded a curve."""
    rows = [row for row in section.done if any(cell.record.curve for cell in row.cells)]
    if not rows:
        return None
    heading = "Learning curves, teacher-forced on the trained facts"
    bands = len(rows) <= _BANDS_AT_MOST  # Bands of many methods would hide each other.
    where = "Bands" if bands else "Bars after the last epoch"
    note = f"Lines: means over seeds. {where}: 95% intervals (for the loss, from three seeds on)"
    figure = new_figure(2, section, heading, note)
    accuracy, loss = figure.subplots(1, 2)
    for index, row in enumerate(rows):
        style, bar = styles[row.label], None if bands else index
        known = _points(row, lambda epoch: epoch.token_accuracy, SHARE, items=True, bands=bands)
        draw_curve(accuracy, known, style, 100, bar=bar)
        lost = _points(row, lambda epoch: epoch.loss, NON_NEGATIVE, items=False, bands=bands)
        draw_curve(loss, lost, style, 1, bar=bar)
    accuracy.set(ylabel="token accuracy, %", title="token accuracy (more is better)", ylim=(0, 103))
    loss.set(ylabel="loss, nats per token", title="training loss (less is better)")
    loss.set_ylim(bottom=0)
    shared_legend(figure, [row.label for row in rows], styles)
    return figure


def _points(
    row: Row, value: Value, bounds: Bounds, *, items: bool, bands: bool
) -> dict[int, Estimate]:
    """Return the mean over seeds after each epoch that every seed has.

    Without `bands` intervals over items, which take time, are those of the last epoch alone.
    """
    curves = [{e.epoch: value(e) for e in cell.record.curve} for cell in row.cells]
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    found: dict[int, Estimate] = {}
    for index, epoch in enumerate(shared):
        values = [v for v in (curve[epoch] for curve in curves) if v is not None]
        needed = items and (bands or epoch == shared[-1])
        per_fact = [_at_epoch(cell, index) for cell in row.cells] if needed else []
        point = estimate(values, per_fact, bounds) if len(values) == len(curves) else None
        if point is not None:
            found[epoch] = point
    return found


def _at_epoch(cell: Cell, index: int) -> Floats:
    """Return each kept fact's accuracy after an epoch, `[kept facts]`."""
    curves = [curve for curve in cell.rows["curve"] if len(curve) > index]
    return np.array([curve[index] for curve in curves], dtype=np.float64)
