"""Accuracy against the target's semantic distance, in fixed bins of width 0.1.

Quantile buckets hold equally many facts but lie elsewhere for every model; bins compare.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.distance_buckets import ACCURACY, fixed_bins
from bench.report.plots._bucket_panel import bucket_figure
from bench.report.plots._kinds import plot
from bench.report.plots._style import Styles
from bench.report.plots.accuracy_quantiles import NOTE


@plot("distance-bins", "Accuracy after training by target distance, in bins of 0.1.", order=60)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw all facts above unknown facts, each as wide as ten bins need."""
    heading = "Accuracy by target distance, in bins of 0.1"
    return bucket_figure(section, styles, heading, NOTE, [ACCURACY], fixed_bins, wide=True)
