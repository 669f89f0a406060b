"""Accuracy against the target's semantic distance, in five quantile buckets."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.distance_buckets import ACCURACY, quantile_buckets
from bench.report.plots._bucket_panel import bucket_figure
from bench.report.plots._kinds import plot
from bench.report.plots._style import Styles

NOTE = (
    "Bars: 95% intervals over seeds and the facts of a bucket; over facts only if there is one seed"
)


@plot(
    "distance-buckets",
    "Accuracy after training, by how far the base's answer was from the target.",
    order=50,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw all facts and unknown facts beside each other; None where no cell is done."""
    heading = "Accuracy by target distance, in quantiles"
    return bucket_figure(section, styles, heading, NOTE, [ACCURACY], quantile_buckets)
