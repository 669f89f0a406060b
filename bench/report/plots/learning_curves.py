"""Learning curves: teacher-forced token accuracy and loss after each epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.report.leaderboard.board import Cell, Row, Section
from bench.report.plots._kinds import plot
from bench.report.plots._style import Styles, beside, ends, new_figure, shared_legend
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


@plot("learning-curves", "How fast each method learns the trained facts, teacher-forced.", order=40)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw accuracy and loss per epoch; None where no cell recorded a curve."""
    rows = [row for row in section.done if any(cell.record.curve for cell in row.cells)]
    if not rows:
        return None
    heading = "Learning curves, teacher-forced on the trained facts"
    bands = len(rows) <= _BANDS_AT_MOST
    figure = new_figure(2, section, heading, _note(bands))
    accuracy, loss = figure.subplots(1, 2)
    for index, row in enumerate(rows):
        known = _points(row, lambda epoch: epoch.token_accuracy, SHARE, items=True, bands=bands)
        _line(accuracy, row, known, 100, styles, None if bands else index)
        lost = _points(row, lambda epoch: epoch.loss, NON_NEGATIVE, items=False, bands=bands)
        _line(loss, row, lost, 1, styles, None if bands else index)
    accuracy.set(ylabel="token accuracy, %", title="token accuracy (more is better)", ylim=(0, 103))
    loss.set(ylabel="loss, nats per token", title="training loss (less is better)")
    loss.set_ylim(bottom=0)
    for axes in (accuracy, loss):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    shared_legend(figure, [row.label for row in rows], styles)
    return figure


def _note(bands: bool) -> str:
    """Say what is drawn: bands of many methods would hide each other."""
    where = "Bands" if bands else "Bars behind the last epoch"
    return f"Lines: means over seeds. {where}: 95 % intervals (loss: from three seeds on)"


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


def _line(
    axes: Axes,
    row: Row,
    points: dict[int, Estimate],
    scale: float,
    styles: Styles,
    bar: int | None,
) -> None:
    """Draw one method with bands, or, given the number of its bar, a bar behind the end."""
    if not points:
        return
    style = styles[row.label]
    epochs, found = list(points), list(points.values())
    axes.plot(
        epochs,
        [scale * point.value for point in found],
        color=style.color,
        linestyle=style.dashes,
        marker=style.marker,
        markersize=4,
        linewidth=1.4,
    )
    lows, highs = (scale * np.array(side) for side in zip(*map(ends, found), strict=True))
    if bar is None:
        axes.fill_between(epochs, lows, highs, color=style.color, alpha=0.14, linewidth=0)
    else:
        axes.vlines(beside(epochs[-1], bar), lows[-1], highs[-1], color=style.color, linewidth=1)
