"""Accuracy against the target's semantic distance, in fixed bins of width 0.1.

Quantile buckets hold equally many facts but lie elsewhere for every model; bins compare.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.distance_buckets import ACCURACY, fixed_bins
from bench.report.plots._bucket_panel import method_panel
from bench.report.plots._kinds import plot
from bench.report.plots._style import WIDE, Styles, new_figure, shared_legend
from bench.report.plots.accuracy_quantiles import NOTE


@plot("distance-bins", "Accuracy after training by target distance, in bins of 0.1.", order=60)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw all facts above unknown facts, each as wide as ten bins need."""
    if not section.done:
        return None
    heading = "Accuracy against target distance, in bins of 0.1"
    figure = new_figure(1, section, heading, NOTE, rows=2, panel=WIDE)
    panels = figure.subplots(2, 1)
    for axes, unknown_only in zip(panels, (False, True), strict=True):
        method_panel(axes, section, styles, ACCURACY, fixed_bins, unknown_only=unknown_only)
        axes.set(ylabel=ACCURACY.label, ylim=(-4, 104))
    shared_legend(figure, [row.label for row in section.done], styles)
    return figure
