"""Panels with buckets of distance across: in each, a mark with its interval per line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.distance_buckets import (
    ADJUSTED_LABEL,
    DISTANCE_LABEL,
    SHORT_LABEL,
    Bucket,
    Bucketing,
    Measure,
    Population,
    by_bucket,
    distances_of,
    edges_of,
)
from bench.report.plots._style import (
    SQUARE,
    MethodStyle,
    PanelSize,
    Styles,
    error,
    new_figure,
    shared_legend,
)
from bench.report.statistics.intervals import Estimate

_SPREAD = 0.8
_STEP = 0.14
_SHORT_FROM = 3
"""With so many panels beside each other a whole label does not fit below one."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The panels of a figure: a row for each measure, a column for each population.

    Attributes:
        measures: What is drawn.
        populations: Of which facts.
        panel: The size of a panel.
        heights: How high the row of each measure is, relative to `panel`.
        stacked: Whether panels take the whole width, one above the other.
        left_out: Measures that are not drawn of facts within their relation.
    """

    measures: Sequence[Measure]
    populations: Sequence[Population]
    panel: PanelSize = SQUARE
    heights: Sequence[float] = (1.0,)
    stacked: bool = False
    left_out: Sequence[Measure] = ()

    @property
    def panels(self) -> list[tuple[Measure, Population]]:
        """What each panel shows, row after row."""
        return [(measure, one) for measure in self.measures for one in self.populations]

    def is_left_out(self, measure: Measure, population: Population) -> bool:
        """Return whether a panel stays empty."""
        return population.within_relation and measure in self.left_out


@dataclass(frozen=True, slots=True)
class Line:
    """One method, or one model: its look and its value in each bucket."""

    style: MethodStyle
    found: Sequence[Estimate | None]


def section_buckets(section: Section, bucketing: Bucketing, population: Population) -> list[Bucket]:
    """Return the buckets of a section's facts, the same for all its rows."""
    return bucketing(distances_of(section.done[0], population))


def bucket_figure(
    section: Section,
    styles: Styles,
    heading: str,
    note: str,
    grid: Grid,
    bucketing: Bucketing,
) -> Figure | None:
    """Draw measures by bucket, a panel for each population; None where no cell is done.

    Args:
        section: What is plotted.
        styles: How its methods are drawn, by label.
        heading: What the plot shows.
        note: What the marks and bars are.
        grid: What is drawn.
        bucketing: Divides the facts.
    """
    if not section.done:
        return None
    measures, populations = grid.measures, grid.populations
    shape = (len(measures), len(populations)) if not grid.stacked else (len(grid.panels), 1)
    figure = new_figure(shape[1], section, heading, note, shape[0], grid.panel)
    # Heights are relative: those of a figure with one small row would otherwise be too low.
    ratios = [1.0] * shape[0] if grid.stacked else [*grid.heights]
    figure.set_figheight(figure.get_figheight() - grid.panel.height * (shape[0] - sum(ratios)))
    panels = figure.subplots(*shape, squeeze=False, sharey="row", height_ratios=ratios)
    for place, (axes, (measure, population)) in enumerate(
        zip(panels.flat, grid.panels, strict=True)
    ):
        if grid.is_left_out(measure, population):
            axes.remove()
            continue
        buckets = section_buckets(section, bucketing, population)
        if grid.stacked or place < shape[1]:
            count = sum(bucket.n for bucket in buckets)
            axes.set_title(f"{section.worded(population.label)}, n = {count}", loc="left")
        below = grid.panels[place + shape[1] :: shape[1]]
        if grid.stacked or all(grid.is_left_out(*panel) for panel in below):
            axes.set_xlabel(_distance_label(population, shape[1]))
        _panel(axes, section, styles, measure, buckets, population)
    # Limits that one panel sets would keep the others of its row from widening them.
    for axes, (measure, _) in zip(panels[:, 0], grid.panels[:: shape[1]], strict=True):
        axes.set(ylabel=section.worded(measure.label), ylim=measure.limits)
    shared_legend(figure, [row.label for row in section.done], styles)
    return figure


def _distance_label(population: Population, columns: int) -> str:
    if population.within_relation:
        return ADJUSTED_LABEL
    return DISTANCE_LABEL if columns < _SHORT_FROM else SHORT_LABEL


def _panel(
    axes: Axes,
    section: Section,
    styles: Styles,
    measure: Measure,
    buckets: Sequence[Bucket],
    population: Population,
) -> None:
    if not buckets:
        empty(axes)
        return
    edges = edges_of(buckets)
    lines = [
        Line(styles[row.label], by_bucket(row, edges, measure, population)) for row in section.done
    ]
    draw_lines(axes, lines, measure.scale)
    ranges = [f"{bucket.range}\nn = {bucket.n}" for bucket in buckets]
    axes.set_xticks(range(len(buckets)), ranges, fontsize=8)
    if measure.limits == (None, None):
        axes.axhline(0, color="0.4", linewidth=0.8, linestyle=":", zorder=1)


def empty(axes: Axes) -> None:
    """Say that a panel has no facts."""
    axes.set_xticks([])
    axes.text(0.5, 0.5, "none of these", transform=axes.transAxes, ha="center", color="0.4")


def draw_lines(axes: Axes, lines: Sequence[Line], scale: float) -> None:
    """Draw the marks of all lines side by side; a bucket of fewer than five facts has none."""
    buckets = len(lines[0].found)
    for number in range(1, buckets, 2):  # every second bucket on a shaded band
        axes.axvspan(number - 0.5, number + 0.5, color="0.95", zorder=0)
    for index, line in enumerate(lines):
        present = [
            (i, entry)
            for i, entry in enumerate(line.found)
            if entry is not None and entry.is_of_enough
        ]
        if not present:
            continue
        # Moved aside, so that bars do not cover each other.
        dodge = (index / max(len(lines) - 1, 1) - 0.5) * min(_SPREAD, _STEP * len(lines))
        bars = [error(entry.value, entry.interval) for _, entry in present]
        axes.errorbar(
            [i + (dodge if len(lines) > 1 else 0.0) for i, _ in present],
            [scale * entry.value for _, entry in present],
            yerr=scale * np.array(bars).T,
            color=line.style.color,
            marker=line.style.marker,
            linestyle="none",
            markersize=4.5,
            elinewidth=0.9,
        )
    axes.set_xlim(-0.5, buckets - 0.5)
    axes.grid(visible=False, axis="x")
