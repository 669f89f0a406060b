"""Distance before against after, a panel per method; facts above the diagonal moved away."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.leaderboard.board import Row, Section
from bench.report.leaderboard.distance_buckets import AWAY, EVERY_FACT, chosen_facts, grown
from bench.report.plots._kinds import plot
from bench.report.plots._style import SMALL, MethodStyle, Styles, new_figure, wrapped
from bench.report.statistics.intervals import wilson

_COLUMNS = 4
_TITLE_LETTERS = 30
_KNOWN = "0.45"
_LEGEND = (
    ("the base did not answer", "o", "black", "black"),
    ("the base answered", "s", _KNOWN, _KNOWN),
    ("hollow: not trained on", "o", "black", "none"),
)
_NOTE = (
    f"Facts more than {AWAY:g} above the diagonal moved away from their targets; the titles count "
    "them, with 95% Wilson intervals. Asked with demonstrations; first seed of each method"
)
_VECTORS_AT_MOST = 4000
"""A figure with more points holds them as pixels, or the page would be megabytes."""


@plot(
    "before-after",
    "Each fact's distance to its target before and after training.",
    order=90,
    of_facts=True,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw a small panel per method, all to one scale; None where no cell is done."""
    if not section.done:
        return None
    rows = math.ceil(len(section.done) / _COLUMNS)
    columns = math.ceil(len(section.done) / rows)
    figure = new_figure(
        columns, section, "Distance to the target before and after training", _NOTE, rows, SMALL
    )
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    pixels = len(section.done) * section.facts > _VECTORS_AT_MOST
    for axes, row in zip(grid, section.done, strict=False):
        _panel(axes, row, styles[row.label], rasterized=pixels)
    for axes in grid[len(section.done) :]:
        axes.remove()
    # Removing the panels below would leave a column without its numbers.
    for axes in grid[: len(section.done)][-columns:]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("distance before, 1 - cosine")
    for axes in grid[: len(section.done) : columns]:
        axes.set_ylabel("distance after, 1 - cosine")
    _to_one_scale(grid[0], section)
    legend = [
        Line2D([], [], marker=m, color=edge, markerfacecolor=face, linestyle="none", label=label)
        for label, m, edge, face in _LEGEND
    ]
    figure.legend(handles=legend, loc="outside lower left", ncols=4, frameon=False)
    return figure


def _panel(axes: Axes, row: Row, style: MethodStyle, *, rasterized: bool) -> None:
    facts = chosen_facts(row.cells[0], EVERY_FACT)
    known = facts["correct_before"].to_numpy(dtype=bool)
    axes.axline((0, 0), slope=1, color="0.6", linewidth=0.8, linestyle="--", zorder=1)
    kept = facts["kept"].to_numpy(dtype=bool)
    for answered, color, marker in ((~known, style.color, "o"), (known, _KNOWN, "s")):
        for chosen, face in ((answered & kept, color), (answered & ~kept, "white")):
            axes.scatter(
                facts["before"][chosen],
                facts["after"][chosen],
                s=14,
                marker=marker,
                facecolors=face,
                edgecolors=color,
                linewidths=0.8,
                alpha=0.7,
                zorder=3,
                clip_on=False,
                rasterized=rasterized,
            )
    away, count = int((grown(facts) > AWAY).sum()), len(facts)
    share = "none"
    if count:
        low, high = 100 * wilson(away, count).low, 100 * wilson(away, count).high
        share = f"{away} of {count} moved away: {100 * away / count:.0f}% [{low:.0f}, {high:.0f}]"
    axes.set_title(f"{wrapped(row.label, _TITLE_LETTERS)}\n{share}", loc="left", fontsize=8)


def _to_one_scale(axes: Axes, section: Section) -> None:
    """Give all panels, which share their axes, the same limits both ways."""
    columns = ["before", "after"]
    highest = max(
        float(chosen_facts(row.cells[0], EVERY_FACT)[columns].max().max()) for row in section.done
    )
    top = 1.0 if math.isnan(highest) else max(1.05 * highest, 0.1)
    axes.set(xlim=(0, top), ylim=(0, top))
