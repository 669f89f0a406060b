"""Which facts moved away from their targets, and how far facts moved, by target distance."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.distance_buckets import AWAY, DEVIATION, MOVED_AWAY, quantile_buckets
from bench.report.plots._bucket_panel import bucket_figure
from bench.report.plots._kinds import plot
from bench.report.plots._style import Styles

_HEADING = "Facts that moved away from their targets"
_NOTE = (
    f"Moved away: the distance grew by more than {AWAY:g}. Bars: 95% intervals over seeds and the "
    "facts of a bucket; over facts only if there is one seed"
)


@plot(
    "deviation",
    "Share of facts that moved away from their targets, and mean deviation, by target distance.",
    order=80,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw shares above means, all facts beside unknown facts; None where no cell is done."""
    measures = [MOVED_AWAY, DEVIATION]
    return bucket_figure(section, styles, _HEADING, _NOTE, measures, quantile_buckets)
