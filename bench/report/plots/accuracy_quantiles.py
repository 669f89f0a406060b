"""Accuracy against the target's semantic distance, in five quantile buckets."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.distance_buckets import ACCURACY, quantile_buckets
from bench.report.plots._bucket_panel import method_panel
from bench.report.plots._kinds import plot
from bench.report.plots._style import Styles, new_figure, shared_legend

NOTE = "Bars: 95 % Wilson intervals over the facts of a bucket; seeds averaged"


@plot(
    "distance-buckets",
    "Accuracy after training by how far the base's answer was from the target.",
    order=50,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw all facts and unknown facts beside each other; None where no cell is done."""
    if not section.done:
        return None
    figure = new_figure(2, section, "Accuracy against target distance, in quantiles", NOTE)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, unknown_only in zip(panels, (False, True), strict=True):
        method_panel(axes, section, styles, ACCURACY, quantile_buckets, unknown_only=unknown_only)
    panels[0].set(ylabel=ACCURACY.label, ylim=(-4, 104))
    shared_legend(figure, [row.label for row in section.done], styles)
    return figure
