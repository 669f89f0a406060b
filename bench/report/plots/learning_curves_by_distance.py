"""Dose curves by bucket of target distance: which facts are learned first, and by whom."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bench.report.leaderboard.board import Row, Section
from bench.report.leaderboard.distance_buckets import (
    EVERY_FACT,
    UNKNOWN,
    Population,
    before,
    bucket_of,
    chosen_facts,
    edges_of,
    epochs_of,
    quantile_buckets,
)
from bench.report.plots._bucket_panel import empty, section_buckets
from bench.report.plots._kinds import plot
from bench.report.plots._style import PanelSize, Styles, draw_curve, new_figure, shared_legend
from bench.report.plots.learning_curves import dose_curve
from bench.report.statistics.intervals import FEWEST_ITEMS, Estimate, Floats

_NOTE = (
    "Share of a bucket's facts that are learned. Lines: means over seeds; bars after them: 95% "
    "intervals at the last epoch; no line below five facts. n also counts facts that a filter "
    "removed"
)
_PANEL = PanelSize(2.3, 2.6)


@plot(
    "bucket-curves",
    "The share of facts learned by epoch, by how far the base's answer was from the target.",
    order=70,
    of_facts=True,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw all facts above unknown facts, a column per bucket; None where no curve was kept."""
    rows = [row for row in section.done if any(cell.record.curve for cell in row.cells)]
    if not rows:
        return None
    populations = (EVERY_FACT, UNKNOWN)
    drawn = [section_buckets(section, quantile_buckets, one) for one in populations]
    columns = max(1, *map(len, drawn))
    heading = "Dose curves by target distance"
    figure = new_figure(columns, section, heading, _NOTE, rows=2, panel=_PANEL)
    grid = figure.subplots(2, columns, squeeze=False, sharey=True)
    for panels, buckets, population in zip(grid, drawn, populations, strict=True):
        panels[0].set_ylabel(f"{section.worded(population.label)}:\nlearned, %")
        if not buckets:
            empty(panels[0])
        for axes in panels[max(1, len(buckets)) :]:
            axes.remove()
        for number, (axes, bucket) in enumerate(zip(panels, buckets, strict=False)):
            axes.set_title(f"distance {bucket.range}, n = {bucket.n}", loc="left", fontsize=8)
            for index, row in enumerate(rows):
                points = curve_of(row, edges_of(buckets), number, population)
                draw_curve(axes, points, styles[row.label], 100, bar=index, small=True)
    grid[0, 0].set_ylim(-3, 103)
    shared_legend(figure, [row.label for row in rows], styles)
    return figure


def curve_of(row: Row, edges: Floats, number: int, population: Population) -> dict[int, Estimate]:
    """Return the share of a bucket's trained facts learned after each epoch, over all seeds.

    The last one has an interval. Empty where some seed trained fewer than five of them.
    """
    seeds, ids = [], []
    for cell in row.cells:
        facts = chosen_facts(cell, population)
        epochs = epochs_of(facts)
        wanted = (bucket_of(before(facts), edges) == number) & ~np.isnan(epochs)
        seeds.append(epochs[wanted])
        ids.append(list(facts["fact_id"][wanted]))
    if min(map(len, seeds)) < FEWEST_ITEMS:
        return {}
    same = all(own == ids[0] for own in ids)
    return dose_curve(seeds, row.spec.epochs, every_interval=False, same=same)
