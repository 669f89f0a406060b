"""Panels with buckets of distance across: in each, a mark with its interval per line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.distance_buckets import (
    DISTANCE_LABEL,
    Bucket,
    Bucketing,
    Measure,
    by_bucket,
    distances_of,
    edges_of,
)
from bench.report.plots._style import (
    SQUARE,
    WIDE,
    MethodStyle,
    Styles,
    error,
    new_figure,
    shared_legend,
)
from bench.report.statistics.intervals import Estimate

_SPREAD = 0.8
_STEP = 0.14


@dataclass(frozen=True, slots=True)
class Line:
    """One method, or one model: its look and its value in each bucket."""

    style: MethodStyle
    found: Sequence[Estimate | None]


def population(unknown_only: bool) -> str:
    """Name the facts of a panel."""
    return "facts the base did not answer" if unknown_only else "all facts"


def section_buckets(section: Section, bucketing: Bucketing, unknown_only: bool) -> list[Bucket]:
    """Return the buckets of a section's facts, the same for all its rows."""
    return bucketing(distances_of(section.done[0], unknown_only))


def bucket_figure(
    section: Section,
    styles: Styles,
    heading: str,
    note: str,
    measures: Sequence[Measure],
    bucketing: Bucketing,
    *,
    wide: bool = False,
) -> Figure | None:
    """Draw measures by bucket, all facts and unknown facts apart; None where no cell is done.

    Args:
        section: What is plotted.
        styles: How its methods are drawn, by label.
        heading: What the plot shows.
        note: What the marks and bars are.
        measures: What is drawn; each measure has two panels.
        bucketing: Divides the facts.
        wide: Whether panels take the whole width, one above the other.
    """
    if not section.done:
        return None
    panels = [(measure, unknown) for measure in measures for unknown in (False, True)]
    columns = 1 if wide else 2
    rows = len(panels) // columns
    figure = new_figure(columns, section, heading, note, rows, WIDE if wide else SQUARE)
    grid = figure.subplots(rows, columns, squeeze=False, sharey="row")
    for axes, (measure, unknown_only) in zip(grid.flat, panels, strict=True):
        buckets = section_buckets(section, bucketing, unknown_only)
        count = sum(bucket.n for bucket in buckets)
        axes.set_title(f"{population(unknown_only)}, n = {count}", loc="left")
        axes.set_xlabel(DISTANCE_LABEL)
        if not buckets:
            empty(axes)
            continue
        edges = edges_of(buckets)
        lines = [
            Line(styles[row.label], by_bucket(row, edges, measure, unknown_only=unknown_only))
            for row in section.done
        ]
        draw_lines(axes, lines, measure.scale)
        ranges = [f"{bucket.range}\nn = {bucket.n}" for bucket in buckets]
        axes.set_xticks(range(len(buckets)), ranges, fontsize=8)
        if not measure.share:
            axes.axhline(0, color="0.4", linewidth=0.8, linestyle=":", zorder=1)
    for axes, (measure, _) in zip(grid[:, 0], panels[::columns], strict=True):
        axes.set(ylabel=measure.label, ylim=measure.limits)
    shared_legend(figure, [row.label for row in section.done], styles)
    return figure


def empty(axes: Axes) -> None:
    """Say that a panel has no facts."""
    axes.set_xticks([])
    axes.text(0.5, 0.5, "no such facts", transform=axes.transAxes, ha="center", color="0.4")


def draw_lines(axes: Axes, lines: Sequence[Line], scale: float) -> None:
    """Draw the marks of all lines side by side, every second bucket on a shaded band."""
    buckets = len(lines[0].found)
    for number in range(1, buckets, 2):
        axes.axvspan(number - 0.5, number + 0.5, color="0.95", zorder=0)
    for index, line in enumerate(lines):
        present = [(i, entry) for i, entry in enumerate(line.found) if entry is not None]
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
