"""Which facts moved away from their targets, and how far facts moved, by target distance."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.distance_buckets import (
    AWAY,
    DEVIATION,
    EVERY_FACT,
    MOVED_AWAY,
    ON_TRAINED_PROMPT,
    UNKNOWN,
    distances_of,
    quantile_buckets,
)
from bench.report.plots._bucket_panel import Grid, bucket_figure
from bench.report.plots._kinds import plot
from bench.report.plots._style import PanelSize, Styles
from bench.report.statistics.intervals import FEWEST_ITEMS

_HEADING = "Facts that moved away from their targets"
_NOTE = (
    f"Moved away: the distance grew by more than {AWAY:g}, before and after training asked alike: "
    "with demonstrations unless it says otherwise. Bars: 95% intervals over facts and seeds"
)


@plot(
    "deviation",
    "Share of facts that moved away from their targets, and mean deviation, by target distance.",
    order=80,
    of_facts=True,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw shares above means, a column per population; None where no cell is done."""
    if not section.done:
        return None
    populations = [EVERY_FACT, UNKNOWN]
    # Without demonstrations most bases answer nothing, and have no distance to compare with.
    if len(distances_of(section.done[0], ON_TRAINED_PROMPT)) >= FEWEST_ITEMS:
        populations.append(ON_TRAINED_PROMPT)
    panel = PanelSize(3.9, 3.4)
    grid = Grid([MOVED_AWAY, DEVIATION], populations, panel, heights=(1.0, 1.0))
    return bucket_figure(section, styles, _HEADING, _NOTE, grid, quantile_buckets)
