"""Dose curves: the share of facts learned after each epoch; and the training loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.evaluation.metrics import metric_table
from bench.report.leaderboard.aggregates import same_facts
from bench.report.leaderboard.board import Cell, Row, Section
from bench.report.leaderboard.half_dose import EPOCHS_UNKNOWN
from bench.report.plots._kinds import plot
from bench.report.plots._style import PanelSize, Styles, draw_curve, new_figure, shared_legend
from bench.report.statistics.intervals import NON_NEGATIVE, SHARE, Estimate, Floats, estimate

_BANDS_AT_MOST = 4
_PANEL = PanelSize(3.9, 3.9)


@plot(
    "learning-curves",
    "The share of facts that each method has learned, by epoch.",
    order=40,
    of_facts=True,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw dose curves and the loss; None where no cell recorded a curve."""
    rows = [row for row in section.done if any(cell.record.curve for cell in row.cells)]
    if not rows:
        return None
    heading = "Dose curves: facts learned by each epoch, and loss"
    bands = len(rows) <= _BANDS_AT_MOST  # Bands of many methods would hide each other.
    where = "Bands" if bands else "Bars after the last epoch"
    note = (
        "Learned: every token of the answer is right under teacher forcing on the trained prompt, "
        f"and stays right. Lines: means over seeds. {where}: 95% intervals (for the loss, from "
        "three seeds on)"
    )
    figure = new_figure(3, section, heading, note, panel=_PANEL)
    every, unknown, loss = figure.subplots(1, 3)
    for axes, unknown_only in ((every, False), (unknown, True)):
        title = "facts the base did not answer" if unknown_only else "all facts"
        axes.set(title=section.worded(f"{title}: learned, %"), ylim=(-3, 103))
        _dose_panel(axes, rows, styles, unknown_only=unknown_only, bands=bands)
    for index, row in enumerate(rows):
        draw_curve(loss, _losses(row), styles[row.label], 1, bar=None if bands else index)
    loss.set(title="training loss, nats per token")
    loss.set_ylim(bottom=0)
    shared_legend(figure, [row.label for row in rows], styles)
    return figure


def _dose_panel(
    axes: Axes, rows: Sequence[Row], styles: Styles, *, unknown_only: bool, bands: bool
) -> None:
    """Draw the dose curve of each method, and say how many facts were never learned."""
    left = []
    for index, row in enumerate(rows):
        epochs = [learned_epochs(cell, unknown_only) for cell in row.cells]
        metric = metric_table()[EPOCHS_UNKNOWN if unknown_only else "epochs_to_learn"]
        same = same_facts([cell.facts for cell in row.cells], metric)
        points = dose_curve(epochs, row.spec.epochs, every_interval=bands, same=same)
        draw_curve(axes, points, styles[row.label], 100, bar=None if bands else index)
        missing = np.mean([(found > row.spec.epochs).sum() for found in epochs])
        if points and missing:
            left.append(f"{row.label}: {missing:.{0 if missing == int(missing) else 1}f}")
    if left:
        said = "not learned at the end\n" + "\n".join(left[:_BANDS_AT_MOST])
        more = len(left) - _BANDS_AT_MOST
        axes.text(
            0.97,
            0.04,
            said + (f"\nand of {more} more methods" if more > 0 else ""),
            transform=axes.transAxes,
            ha="right",
            fontsize=8,
            color="0.3",
        )


def learned_epochs(cell: Cell, unknown_only: bool) -> Floats:
    """Return after how many epochs each trained fact was learned, `[trained facts]`."""
    rows = cell.rows
    epochs = rows["epochs_to_learn"].to_numpy(dtype=np.float64)
    wanted = ~np.isnan(epochs)
    if unknown_only:
        wanted = wanted & ~rows["correct_before"].to_numpy(dtype=np.bool_)
    return epochs[wanted]


def dose_curve(
    by_seed: Sequence[Floats], epochs: int, *, every_interval: bool = True, same: bool = True
) -> dict[int, Estimate]:
    """Return the share learned after each epoch from 0 on, over seeds; it cannot fall.

    Args:
        by_seed: Epochs to learn of each seed's trained facts.
        epochs: How many there are.
        every_interval: Whether all points have intervals; else the last one alone.
        same: Whether all seeds trained the same facts.
    """
    found: dict[int, Estimate] = {}
    for epoch in range(epochs + 1):
        learned = [(values <= epoch).astype(np.float64) for values in by_seed if len(values)]
        if not learned or len(learned) < len(by_seed):
            return {}
        items = learned if every_interval or epoch == epochs else []
        means = [float(values.mean()) for values in learned]
        point = estimate(means, items, SHARE, same_facts=same)
        if point is not None:
            found[epoch] = point
    return found


def _losses(row: Row) -> dict[int, Estimate]:
    """Return the mean loss of each epoch that every seed has."""
    curves = [{e.epoch: e.loss for e in cell.record.curve} for cell in row.cells]
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    found: dict[int, Estimate] = {}
    for epoch in shared:
        values = [loss for curve in curves if (loss := curve[epoch]) is not None]
        point = estimate(values, [], NON_NEGATIVE) if len(values) == len(curves) else None
        if point is not None:
            found[epoch] = point
    return found
