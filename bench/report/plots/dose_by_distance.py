"""How soon facts were learned, by how far the base's answer was from the target."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.distance_buckets import (
    ACCURACY,
    EPOCHS,
    EVERY_FACT,
    UNKNOWN,
    WITHIN_RELATION,
    learned_by,
    quantile_buckets,
    relations_of,
)
from bench.report.plots._bucket_panel import Grid, bucket_figure
from bench.report.plots._kinds import plot
from bench.report.plots._style import PanelSize, Styles

_NOTE = (
    "Bars: 95% intervals over the facts of a bucket and over seeds, no mark below five facts. A "
    "fact that was not learned counts as one epoch more than all. Reliability: answers on the "
    "trained prompt in the end"
)
_WITHIN = ". Within relation: less the mean of the fact's relation, plus the mean of all"
_PANEL = PanelSize(3.9, 3.1)
_SMALL = 0.55


@plot(
    "dose-by-distance",
    "How many epochs it took to learn facts, by how far the base's answer was from the target.",
    order=5,
    of_facts=True,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw the dose above the final accuracy; None where no cell is done.

    Relations are held apart where there are several.
    """
    if not section.done:
        return None
    several = relations_of(section.done[0]) > 1
    populations = [EVERY_FACT, UNKNOWN, *([WITHIN_RELATION] if several else [])]
    half = [learned_by(section.half_dose)] if section.half_dose is not None else []
    measures, heights = [EPOCHS, *half, ACCURACY], [*[1.0] * (1 + len(half)), _SMALL]
    # In the end nearly all is learned: less a relation's mean, little but its noise would be left.
    grid = Grid(measures, populations, _PANEL, heights, left_out=[ACCURACY])
    heading = "How soon facts were learned, by target distance"
    note = _NOTE + (_WITHIN if several else "")
    return bucket_figure(section, styles, heading, note, grid, quantile_buckets)
