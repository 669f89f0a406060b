"""Learning curves by bucket of target distance: which facts are learned first, and by whom."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.report.leaderboard.board import Row, Section
from bench.report.leaderboard.distance_buckets import (
    bucket_of,
    chosen_facts,
    edges_of,
    quantile_buckets,
)
from bench.report.plots._bucket_panel import empty, population, section_buckets
from bench.report.plots._kinds import plot
from bench.report.plots._style import PanelSize, Styles, draw_curve, new_figure, shared_legend
from bench.report.statistics.intervals import SHARE, Estimate, Floats, estimate

_NOTE = (
    "Token accuracy on the trained facts of a bucket. Lines: means over seeds; bars after them: "
    "95% intervals at the last epoch. n also counts facts that a filter removed"
)
_PANEL = PanelSize(2.3, 2.6)


@plot(
    "bucket-curves",
    "How fast facts are learned, by how far the base's answer was from the target.",
    order=70,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw all facts above unknown facts, a column per bucket; None where no curve was kept."""
    rows = [row for row in section.done if any(cell.record.curve for cell in row.cells)]
    if not rows:
        return None
    drawn = [section_buckets(section, quantile_buckets, unknown) for unknown in (False, True)]
    columns = max(1, *map(len, drawn))
    heading = "Learning curves by target distance, teacher-forced"
    figure = new_figure(columns, section, heading, _NOTE, rows=2, panel=_PANEL)
    grid = figure.subplots(2, columns, squeeze=False, sharey=True)
    for panels, buckets, unknown_only in zip(grid, drawn, (False, True), strict=True):
        panels[0].set_ylabel(f"{population(unknown_only)}:\ntoken accuracy, %")
        if not buckets:
            empty(panels[0])
        for axes in panels[max(1, len(buckets)) :]:
            axes.remove()
        for number, (axes, bucket) in enumerate(zip(panels, buckets, strict=False)):
            axes.set_title(f"distance {bucket.range}, n = {bucket.n}", loc="left", fontsize=8)
            for index, row in enumerate(rows):
                points = curve_of(row, edges_of(buckets), number, unknown_only=unknown_only)
                by_epoch = dict(enumerate(points, 1))
                draw_curve(axes, by_epoch, styles[row.label], 100, bar=index, small=True)
    grid[0, 0].set_ylim(0, 103)
    shared_legend(figure, [row.label for row in rows], styles)
    return figure


def curve_of(row: Row, edges: Floats, number: int, *, unknown_only: bool) -> list[Estimate]:
    """Return the token accuracy of a bucket's trained facts after each epoch, over all seeds.

    The last one has an interval.
    """
    seeds = [_trained(chosen_facts(cell, unknown_only), edges, number) for cell in row.cells]
    curves = [np.stack(facts["curve"].to_list()) for facts in seeds if len(facts)]
    if len(curves) < len(row.cells) or not curves:
        return []
    epochs = min(curve.shape[1] for curve in curves)
    means = [[float(curve[:, epoch].mean()) for curve in curves] for epoch in range(epochs)]
    # Seeds that trained other facts cannot be paired: their spread alone then is the interval.
    paired = all(list(facts["fact_id"]) == list(seeds[0]["fact_id"]) for facts in seeds)
    items = [curve[:, epochs - 1] for curve in curves] if paired else []
    last = estimate(means[-1], items, SHARE)
    return [*(Estimate(float(np.mean(values))) for values in means[:-1]), *([last] if last else [])]


def _trained(facts: pd.DataFrame, edges: Floats, number: int) -> pd.DataFrame:
    """Return the facts of a bucket that have a curve: those that a filter kept."""
    places = bucket_of(facts["distance_before"].to_numpy(dtype=np.float64), edges)
    return facts[(places == number) & (facts["curve"].map(len) > 0).to_numpy(dtype=bool)]
