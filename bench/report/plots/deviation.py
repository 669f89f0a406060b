"""Which facts moved away from their targets, and how far facts moved, by target distance."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.distance_buckets import AWAY, DEVIATION, MOVED_AWAY, quantile_buckets
from bench.report.plots._bucket_panel import method_panel
from bench.report.plots._kinds import plot
from bench.report.plots._style import Styles, new_figure, shared_legend

_NOTE = (
    f"Moved away: the distance grew by more than {AWAY:g}. Bars: 95 % intervals over the facts "
    "of a bucket, Wilson's for shares"
)


@plot(
    "deviation",
    "Share of facts that moved away from their targets, and mean deviation, by distance.",
    order=80,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw shares above means, all facts beside unknown facts; None where no cell is done."""
    if not section.done:
        return None
    heading = "Facts that moved away from their targets"
    figure = new_figure(2, section, heading, _NOTE, rows=2)
    grid = figure.subplots(2, 2, sharey="row")
    for panels, measure in zip(grid, (MOVED_AWAY, DEVIATION), strict=True):
        for axes, unknown_only in zip(panels, (False, True), strict=True):
            method_panel(
                axes, section, styles, measure, quantile_buckets, unknown_only=unknown_only
            )
        panels[0].set_ylabel(measure.label)
    grid[0, 0].set_ylim(bottom=-2)
    for axes in grid[1]:
        axes.axhline(0, color="0.4", linewidth=0.8, linestyle=":", zorder=1)
    shared_legend(figure, [row.label for row in section.done], styles)
    return figure
