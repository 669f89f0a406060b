"""The picture of the interference study: measures by group size, and states by distance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from bench.report.leaderboard.distance_buckets import Bucket, bucket_of, edges_of, quantile_buckets
from bench.report.plots._style import MethodStyle, PanelSize, settings, style_of, titled_figure
from bench.report.statistics.intervals import FEWEST_ITEMS, Floats
from bench.studies.interference.compare import StatePlane
from bench.studies.interference.plan import Regime
from bench.studies.interference.table import ASKED_AS, items_of
from tasks.context import Context

Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]

_PANEL = PanelSize(2.7, 2.9)
_COLUMNS = 5
_LOOKS: dict[Regime, MethodStyle] = {Regime.EXPOSURES: style_of(0), Regime.UPDATES: style_of(1)}
_DODGE = 1.03
"""Factor by which the two regimes are shifted from K, so that their bars do not overlap."""

_BEFORE, _ALONE, _TOGETHER = ("0.35", "o"), ("#009E73", "^"), ("#CC79A7", "s")


class Shown(NamedTuple):
    """How a measure is drawn.

    Attributes:
        name: The column of the table.
        label: The label of its axis, with the unit.
        scale: The factor that values are multiplied by.
        level: The value at which nothing is lost, or the name of the column that holds it.
        least: The least extent of the axis from 0 or from there, so that small effects look small.
    """

    name: str
    label: str
    scale: float
    level: float | str
    least: float


_IN_EACH_CONTEXT = (
    Shown("interference", "accuracy alone - joint (points)", 100.0, 0.0, 10.0),
    Shown("nll_difference", "NLL joint - alone (nats per token)", 1.0, 0.0, 0.1),
    Shown("confusion", "confusion (% of wrong answers)", 100.0, "confusion_before", 10.0),
    Shown("straying", "straying (% of facts)", 100.0, "straying_alone", 10.0),
)
_PANELS: dict[Context, tuple[Shown, ...]] = {
    Context.PLAIN: (
        *_IN_EACH_CONTEXT,
        Shown("epochs_joint", "epochs to learn", 1.0, "epochs_alone", 1.0),
    ),
    Context.FEW_SHOT: _IN_EACH_CONTEXT,
}
_SHRINK = Shown("shrink", "shrink: movement, joint / alone", 1.0, 1.0, 0.1)
"""It is a measure of the trained prompt, in the place that is left in the row below."""


def interference_figure(
    table: pd.DataFrame, plane: StatePlane | None, where: str, note: str
) -> Figure:
    """Draw the measures on the trained prompt, those with demonstrations, and the states.

    Args:
        table: The study's table.
        plane: The states; None if there are none.
        where: Model, task, method, facts and seeds.
        note: What the bars mean.
    """
    heading = "Interference: the same facts trained alone and together"
    with settings():
        figure = titled_figure(_COLUMNS, 3, _PANEL, heading, where, note)
        above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[2, 1])[:, 0]
        grid = above.subplots(2, _COLUMNS, sharex=True)
        for row, (asked, panels) in zip(grid, _PANELS.items(), strict=True):
            mine = table[table["asked"] == ASKED_AS[asked]]
            for axes, shown in zip(row, panels, strict=False):
                _measure(axes, mine, shown)
            row[0].set_title(ASKED_AS[asked], loc="left", fontweight="bold")
        as_trained = table[table["asked"] == ASKED_AS[Context.PLAIN]]
        _measure(grid[1][-1], as_trained, _SHRINK)
        grid[1][-1].set_title(ASKED_AS[Context.PLAIN], loc="left", fontsize=8)
        above.legend(handles=_looks(table), loc="outside lower left", ncols=3, frameon=False)
        _states(below, plane)
    return figure


def _looks(table: pd.DataFrame) -> list[Line2D]:
    regimes = [
        Line2D([], [], color=s.color, marker=s.marker, linestyle=s.dashes, label=str(regime))
        for regime, s in _LOOKS.items()
        if (table["regime"] == regime).any()
    ]
    level = Line2D([], [], color="0.5", linewidth=1, linestyle=":")
    level.set_label("alone; of confusion: before training")
    return [*regimes, level]


def _measure(axes: Axes, table: pd.DataFrame, shown: Shown) -> None:
    axes.set_ylabel(shown.label)
    if _drawable(table, shown.name).empty:
        told = f"nothing to show:\nfewer than {FEWEST_ITEMS} facts\nor answers count"
        axes.text(0.5, 0.5, told, transform=axes.transAxes, ha="center", va="center", fontsize=8)
    for (regime, style), side in zip(_LOOKS.items(), (1 / _DODGE, _DODGE), strict=True):
        lines = table[table["regime"] == regime]
        if isinstance(shown.level, str):
            alone = _drawable(lines, shown.level)
            values = shown.scale * alone[shown.level].astype(float)
            axes.plot(alone["size"] * side, values, color="0.5", linewidth=1, linestyle=":")
        _bars(axes, _drawable(lines, shown.name), shown, style, side)
    low, high = axes.get_ylim()
    if isinstance(shown.level, str):
        axes.set_ylim(0.0, max(high, shown.least))
    else:
        axes.axhline(shown.level, color="0.5", linewidth=1, linestyle=":", zorder=1)
        axes.set_ylim(min(low, shown.level - shown.least), max(high, shown.level + shown.least))
    sizes = sorted(table["size"].unique())
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelbottom=True)
    axes.set_xlabel("facts trained together (K)")


def _drawable(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the lines in which enough facts or answers have a measure."""
    return table[table[name].notna() & (table[items_of(name)] >= FEWEST_ITEMS)]


def _bars(axes: Axes, mine: pd.DataFrame, shown: Shown, style: MethodStyle, side: float) -> None:
    name, scale = shown.name, shown.scale
    ends = mine[[f"{name}_low", f"{name}_high"]].astype(float)
    values = mine[name].to_numpy(dtype=np.float64)
    bars = np.abs(ends.to_numpy() - values[:, None])
    axes.errorbar(
        mine["size"] * side,
        scale * values,
        yerr=scale * np.nan_to_num(bars).T,
        color=style.color,
        marker=style.marker,
        linestyle=style.dashes,
        markersize=4.5,
        linewidth=1.1,
        elinewidth=0.9,
    )


def _states(below: SubFigure, plane: StatePlane | None) -> None:
    if plane is None:
        below.text(0.5, 0.5, "no states, because every training of this size failed", ha="center")
        return
    buckets = quantile_buckets(plane.distances)
    places = bucket_of(plane.distances, edges_of(buckets))
    panels = below.subplots(1, len(buckets), sharex=True, sharey=True, squeeze=False)[0]
    for number, (axes, bucket) in enumerate(zip(panels, buckets, strict=True)):
        _bucket(axes, plane, np.flatnonzero(places == number), bucket)
    first, second = (100 * share for share in plane.explained)
    panels[0].set_ylabel(f"PC 2 ({second:.0f}% of variance)")
    for axes in panels:
        axes.set_xlabel(f"PC 1 ({first:.0f}%)")
    below.suptitle(
        "States that predict the first answer token, by distance of the base's answer; together: "
        f"K = {plane.size}, equal exposures, seed {plane.seed}",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    below.legend(handles=_legend(), loc="outside lower left", ncols=5, frameon=False)


def _bucket(axes: Axes, plane: StatePlane, facts: Indices, bucket: Bucket) -> None:
    axes.set_title(f"distance {bucket.range}, n = {bucket.n}", loc="left", fontsize=8)
    for ends, (color, marker), dashes in (
        (plane.alone, _ALONE, "-"),
        (plane.together, _TOGETHER, "--"),
    ):
        for fact in facts:
            path = np.stack([plane.before[fact], ends[fact]])
            axes.plot(*path.T, color=color, linestyle=dashes, linewidth=0.8, zorder=2)
        _points(axes, ends, facts, plane.known, color, marker)
    _points(axes, plane.before, facts, plane.known, *_BEFORE)


def _points(
    axes: Axes, points: Floats, facts: Indices, known: Flags, color: str, marker: str
) -> None:
    for fact in facts:
        axes.plot(
            *points[fact],
            marker=marker,
            linestyle="none",
            color=color,
            markerfacecolor="white" if known[fact] else color,
            markersize=4.5,
            zorder=3,
        )


def _legend() -> list[Line2D]:
    grey, circle = _BEFORE
    alone = Line2D([], [], label="alone", color=_ALONE[0], marker=_ALONE[1])
    together = Line2D([], [], label="together", color=_TOGETHER[0], marker=_TOGETHER[1])
    together.set_linestyle("--")
    before = Line2D([], [], label="before", color=grey, marker=circle, linestyle="")
    known = Line2D([], [], label="hollow: the base knew the fact", color=grey, marker=circle)
    known.set(markerfacecolor="white", linestyle="")
    return [alone, together, before, known]
