"""Epochs to learn against target distance per model for one method: is the shape the model's own?

Across sections: for each method of a task that several models have. Every model has its own
quantile buckets, which hold equally many of its facts; bins of 0.1 are the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.leaderboard.board import Leaderboard, Row
from bench.report.leaderboard.distance_buckets import (
    DISTANCE_LABEL,
    EPOCHS,
    EVERY_FACT,
    UNKNOWN,
    Population,
    by_bucket,
    distances_of,
    edges_of,
    fixed_bins,
    quantile_buckets,
)
from bench.report.leaderboard.labels import setting_labels
from bench.report.plots._bucket_panel import Line, draw_lines, empty
from bench.report.plots._kinds import plot
from bench.report.plots._style import (
    MethodStyle,
    PanelSize,
    Styles,
    shared_legend,
    styles_of,
    titled_figure,
)
from bench.report.tables.limits import Drawing

_NOTE = (
    "Above: each model's own quantile buckets; below: bins of 0.1. Bars: 95% intervals over the "
    "facts of a bucket and over seeds"
)
_PANEL = PanelSize(6.0, 3.9)
_LINE_POINTS = 9
_BELOW_TICKS = 17


@dataclass(frozen=True, slots=True)
class Models:
    """The rows of one method on one task, by the label of their model."""

    title: str
    method: str
    task: str
    rows: dict[str, Row]


@plot("models", "Epochs to learn by target distance, of one method on several models.", across=True)
def draw(board: Leaderboard, drawing: Drawing) -> Iterator[tuple[str, Figure]]:
    """Draw a figure per method and task that at least two models have, with its title.

    Reference methods come first.
    """
    groups = methods_of_models(board)
    styles = styles_of(label for group in groups for label in group.rows)
    references = {section.reference for section in board.sections}
    for group in sorted(groups, key=lambda group: group.method not in references):
        if drawing.includes(group.title):
            yield group.title, _figure(group, styles)


def methods_of_models(board: Leaderboard) -> list[Models]:
    """Return the methods that can be compared over models, by task and name."""
    rows = [
        (section.task, " ".join(filter(None, (row.spec.asked, row.spec.started))), row)
        for section in board.sections
        for row in section.done
    ]
    ordered = sorted(rows, key=lambda entry: entry[:2])
    found = []
    for (task, method), members in groupby(ordered, key=lambda entry: entry[:2]):
        group = [row for _, _, row in members]
        if len({row.spec.model for row in group}) > 1:
            labels = setting_labels([(row.spec.model, row.spec) for row in group])
            rows_by_label = dict(zip(labels, group, strict=True))
            found.append(Models(f"{method} on {task}", method, task, rows_by_label))
    return found


def _figure(group: Models, styles: Styles) -> Figure:
    heading = f"Epochs to learn by target distance: {group.method} on several models"
    counts = ", ".join(f"{label} {row.spec.facts}" for label, row in group.rows.items())
    figure = titled_figure(2, 2, _PANEL, heading, f"{group.task}; asked: {counts}", _NOTE)
    grid = figure.subplots(2, 2, sharey=True)
    for line, quantiles in zip(grid, (True, False), strict=True):
        for axes, population in zip(line, (EVERY_FACT, UNKNOWN), strict=True):
            _panel(axes, group, styles, population, quantiles=quantiles)
        line[0].set(ylabel=EPOCHS.label, ylim=EPOCHS.limits)
    shared_legend(figure, list(group.rows), styles)
    return figure


def _panel(
    axes: Axes, group: Models, styles: Styles, population: Population, *, quantiles: bool
) -> None:
    """Draw each model in its own quantile buckets, or all in bins of 0.1."""
    shown = "each model's quantiles" if quantiles else "bins of 0.1"
    axes.set_title(f"{population.label}: {shown}", loc="left")
    distances = {label: distances_of(row, population) for label, row in group.rows.items()}
    bins = fixed_bins(np.concatenate(list(distances.values())))
    if not bins:
        empty(axes)
        return
    lines = []
    buckets = {label: quantile_buckets(d) if quantiles else bins for label, d in distances.items()}
    most = max(map(len, buckets.values()))
    for index, (label, row) in enumerate(group.rows.items()):
        own = buckets[label]
        found = by_bucket(row, edges_of(own), EPOCHS, population) if len(distances[label]) else []
        lines.append(Line(styles[label], [*found, *[None] * (most - len(found))]))
        counts = np.histogram(distances[label], edges_of(bins))[0]
        below = [f"{b.range} (n {b.n})" for b in own] if quantiles else [f"n {n}" for n in counts]
        _write_below(axes, index, styles[label], below)
    draw_lines(axes, lines, EPOCHS.scale)
    if quantiles:
        axes.set_xticks(range(most), [f"bucket {number + 1}" for number in range(most)])
    else:
        axes.set_xticks(np.arange(most + 1) - 0.5, [f"{edge:.1f}" for edge in edges_of(bins)])
    axes.set_xlabel(DISTANCE_LABEL, labelpad=4 + _LINE_POINTS * len(lines))


def _write_below(axes: Axes, index: int, style: MethodStyle, texts: Sequence[str]) -> None:
    """Write a model's ranges and numbers of facts below the axis, in its colour."""
    for place, text in enumerate(texts):
        axes.annotate(
            text,
            (place, 0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, -_BELOW_TICKS - _LINE_POINTS * index),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7,
            color=style.color,
            annotation_clip=False,
        )
