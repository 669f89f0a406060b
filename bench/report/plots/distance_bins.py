"""Epochs to learn against the target's semantic distance, in fixed bins of width 0.1.

Quantile buckets hold equally many facts but lie elsewhere for every model; bins compare.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.distance_buckets import EPOCHS, EVERY_FACT, UNKNOWN, fixed_bins
from bench.report.plots._bucket_panel import Grid, bucket_figure
from bench.report.plots._kinds import plot
from bench.report.plots._style import WIDE, Styles

_NOTE = (
    "Bars: 95% intervals over the facts of a bin and over seeds, no mark below five facts. A fact "
    "that was not learned counts as one epoch more than all"
)


@plot(
    "distance-bins", "Epochs to learn by target distance, in bins of 0.1.", order=60, of_facts=True
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw all facts above unknown facts, each as wide as ten bins need."""
    heading = "Epochs to learn by target distance, in bins of 0.1"
    grid = Grid([EPOCHS], [EVERY_FACT, UNKNOWN], WIDE, stacked=True)
    return bucket_figure(section, styles, heading, _NOTE, grid, fixed_bins)
