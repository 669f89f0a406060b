"""The picture of the study of sequences: a matrix per method, retention and drift."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bench.report.plots._style import (
    MethodStyle,
    PanelSize,
    draw_curve,
    settings,
    shared_legend,
    style_of,
    titled_figure,
    wrapped,
)
from bench.report.statistics.intervals import FEWEST_ITEMS, Estimate
from bench.studies.sequence.plan import StudyPlan
from bench.studies.sequence.table import ASKED, Results, drift_by_stage, matrix, retention

_PANEL = PanelSize(3.7, 3.4)
_COLUMNS = 3
_MOST_NUMBERS = 16
"""With more parts than this, the matrix shows colours alone."""
_DARK = 60.0
"""Per cent above which numbers are white."""


def sequence_figure(
    plan: StudyPlan, outcomes: pd.DataFrame, results: Results, where: str, note: str
) -> Figure:
    """Draw the matrices on the trained prompt, and below them retention and drift.

    Args:
        plan: The study.
        outcomes: One row per method, seed, stage and fact.
        results: The sequences by digest.
        where: Model, task, facts, learning rates and seeds.
        note: What the bands mean.
    """
    rows = math.ceil(len(plan.methods) / _COLUMNS)
    heading = (
        "Sequence: parts trained one after another, and every part asked after each. Above: % of a "
        "part's facts right on the trained prompt; outlined: directly after its own training"
    )
    styles = {method: style_of(number) for number, method in enumerate(plan.methods)}
    with settings():
        figure = titled_figure(_COLUMNS, rows + 1, _PANEL, heading, where, note)
        grid = figure.subplots(rows + 1, _COLUMNS, squeeze=False)
        _matrices(grid[:-1].flatten().tolist(), plan, outcomes)
        panels = grid[-1]
        for axes, (field, asked) in zip(panels, ASKED.items(), strict=False):
            _retention(axes, plan, outcomes, field, styles)
            axes.set_title(asked, loc="left", fontsize=8)
        _drift(panels[-1], plan, results, styles)
        shared_legend(figure, list(plan.methods), styles)
    return figure


def _matrices(panels: list[Axes], plan: StudyPlan, outcomes: pd.DataFrame) -> None:
    """Draw one matrix per method; panels that are left over are hidden."""
    parts = len(plan.parts)
    enough = min(map(len, plan.parts)) >= FEWEST_ITEMS
    for axes, method in zip(panels, plan.methods, strict=False):
        axes.set_title(wrapped(method, 40), loc="left", fontsize=9)
        _matrix(axes, 100 * matrix(outcomes, method, "right", parts), enough)
    for axes in panels[len(plan.methods) :]:
        axes.set_visible(False)


def _matrix(axes: Axes, values: NDArray[np.float64], enough: bool) -> None:
    """Draw one matrix, the first row before training; `enough` facts per part show numbers."""
    axes.grid(visible=False)
    parts = values.shape[1]
    shown = axes.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    if parts <= _MOST_NUMBERS:
        size = 8 if parts <= 8 else 6
        for (stage, part), value in np.ndenumerate(values):
            told = f"{value:.0f}" if enough and np.isfinite(value) else "-"
            color = "white" if value > _DARK else "black"
            axes.text(part, stage, told, ha="center", va="center", fontsize=size, color=color)
    else:
        axes.figure.colorbar(shown, ax=axes, label="%")
    for part in range(parts):
        box = Rectangle((part - 0.5, part + 0.5), 1, 1, fill=False, edgecolor="#D55E00", lw=1.5)
        box.set_clip_on(False)
        axes.add_patch(box)
    step = max(1, parts // 12)
    places = range(0, parts, step)
    axes.set_xticks([*places], [str(part + 1) for part in places])
    stages = range(0, parts + 1, step)
    axes.set_yticks([*stages], ["before" if not stage else str(stage) for stage in stages])
    axes.set_xlabel("part asked")
    axes.set_ylabel("part trained last")


def _retention(
    axes: Axes,
    plan: StudyPlan,
    outcomes: pd.DataFrame,
    field: str,
    styles: dict[str, MethodStyle],
) -> None:
    for method, style in styles.items():
        found = retention(outcomes, method, field, len(plan.parts))
        points = {
            lag: point for lag, point in found.items() if point is not None and point.is_of_enough
        }
        draw_curve(axes, points, style, 100, bar=None)
    axes.set_ylim(-3, 103)
    axes.set_ylabel("right (%)")
    axes.set_xlabel("parts trained afterwards")


def _drift(axes: Axes, plan: StudyPlan, results: Results, styles: dict[str, MethodStyle]) -> None:
    for method, style in styles.items():
        after = drift_by_stage(plan, results, method)
        points = dict(enumerate([Estimate(0.0), *after])) if after else {}
        draw_curve(axes, points, style, 1, bar=None)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("drift (nats per token)")
    axes.set_xlabel("parts trained")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
