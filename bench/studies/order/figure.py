"""The picture of the study of order: what is right by the number of facts, and by their places."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from bench.redaction import safe_text
from bench.report.plots._style import MethodStyle, PanelSize, settings, style_of, titled_figure
from bench.report.statistics.intervals import FEWEST_ITEMS
from bench.studies.order.plan import Budget, Order
from bench.studies.order.table import items_of, of_line

_PANEL = PanelSize(2.7, 2.8)
_ORDERS = (Order.DEPTH, Order.BREADTH, Order.BATCHES)
_LOOKS: dict[Order, MethodStyle] = {order: style_of(n) for n, order in enumerate(_ORDERS)}
_ALONE = MethodStyle("0.3", "*", "-")
_THEN = "0.45"
"""The grey of what was right directly after a fact's own training."""
_DODGE = 1.06
"""Factor by which the orders are shifted from K, so that their bars do not overlap."""
_PLACES = 8
"""How many parts the facts are divided in by their place in depth-first order."""

_PANELS: tuple[tuple[str, Budget, str, float], ...] = (
    ("right", Budget.LEARNED, "right in the end (%)", 100.0),
    ("right", Budget.EXPOSURES, "right in the end (%)", 100.0),
    ("few_shot", Budget.LEARNED, "with demonstrations (%)", 100.0),
    ("drift", Budget.LEARNED, "drift (nats per token)", 1.0),
)
"""Measure, budget, label and scale of each panel over the sizes."""


def order_figure(table: pd.DataFrame, outcomes: pd.DataFrame, where: str, note: str) -> Figure:
    """Draw a row of panels per method: measures over sizes, then what is right over places.

    Args:
        table: The study's table.
        outcomes: One row per condition and fact.
        where: Model, task, learning rates and seeds.
        note: What the bars mean.
    """
    methods = list(dict.fromkeys(table["method"]))
    heading = "Order: facts trained one after another, and in epochs over all of them"
    with settings():
        figure = titled_figure(len(_PANELS) + 1, len(methods), _PANEL, heading, where, note)
        grid = figure.subplots(len(methods), len(_PANELS) + 1, squeeze=False)
        for row, method in zip(grid, methods, strict=True):
            mine = table[table["method"] == method]
            for axes, (name, budget, label, scale) in zip(row, _PANELS, strict=False):
                axes.set_title(str(budget), loc="left", fontsize=8)
                axes.set_ylabel(label)
                _sizes(axes, mine[mine["budget"] == str(budget)], name, scale)
            _places(row[-1], mine, outcomes)
            row[0].set_title(
                f"{safe_text(method)}\n{row[0].get_title(loc='left')}", loc="left", fontsize=8
            )
        figure.legend(
            handles=_legend(_present(table)), loc="outside lower left", ncols=5, frameon=False
        )
    return figure


def _legend(orders: list[Order]) -> list[Line2D]:
    lines = [
        Line2D([], [], color=s.color, marker=s.marker, linestyle=s.dashes, label=str(order))
        for order, s in _LOOKS.items()
        if order in orders
    ]
    then = Line2D([], [], color=_THEN, linestyle=":", linewidth=1.4)
    then.set_label(f"{Order.DEPTH}: directly after own training")
    alone = Line2D([], [], color=_ALONE.color, marker=_ALONE.marker, linestyle="")
    alone.set_label("one fact alone")
    return [*lines, then, alone]


def _present(table: pd.DataFrame) -> list[Order]:
    return [order for order in _ORDERS if (table["order"] == str(order)).any()]


def _sizes(axes: Axes, table: pd.DataFrame, name: str, scale: float) -> None:
    """Draw a measure over the sizes, a line per order."""
    sizes = sorted(table["size"].unique())
    alone = _drawable(table[table["order"] == str(Order.ALONE)], name)
    _bars(axes, alone, name, scale, _ALONE)
    present = _present(table)
    for number, order in enumerate(present):
        lines, style = table[table["order"] == str(order)], _LOOKS[order]
        if name == "right" and order is Order.DEPTH:
            then = _drawable(lines, "right_then")
            axes.plot(
                then["size"], scale * then["right_then"].astype(float),
                color=_THEN, linestyle=":", linewidth=1.4, zorder=1,
            )  # fmt: skip
        drawn = _drawable(lines, name)
        # Each line begins at one fact, which has no order.
        whole = pd.concat([alone, drawn]) if len(alone) and len(drawn) else drawn
        side = _DODGE ** (number - (len(present) - 1) / 2)
        axes.plot(
            whole["size"] * np.where(whole["size"] > 1, side, 1),
            scale * whole[name].astype(float),
            color=style.color, linestyle=style.dashes, linewidth=1.1,
        )  # fmt: skip
        _bars(axes, drawn, name, scale, style, side)
    if _drawable(table, name).empty:
        _nothing(axes)
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / 1.4, sizes[-1] * 1.4)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("facts (K)")
    _from_nothing(axes, scale)


def _from_nothing(axes: Axes, scale: float) -> None:
    """Let a share's axis reach from 0 to 100 %, another's begin at 0."""
    if scale == 100:
        axes.set_ylim(-3, 103)
    else:
        axes.set_ylim(0, max(axes.get_ylim()[1], 0.1))


def _drawable(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the lines in which enough facts have a measure."""
    return table[table[name].notna() & (table[items_of(name)] >= FEWEST_ITEMS)]


def _bars(
    axes: Axes,
    mine: pd.DataFrame,
    name: str,
    scale: float,
    style: MethodStyle,
    side: float = 1.0,
) -> None:
    """Draw points with their intervals.

    Args:
        axes: The panel.
        mine: Lines of the table.
        name: The measure.
        scale: What values are multiplied by.
        style: The look of the points.
        side: The factor by which they are shifted, so that bars do not overlap.
    """
    values = mine[name].to_numpy(dtype=np.float64)
    ends = mine[[f"{name}_low", f"{name}_high"]].to_numpy(dtype=np.float64)
    axes.errorbar(
        mine["size"] * side,
        scale * values,
        yerr=scale * np.nan_to_num(np.abs(ends - values[:, None])).T,
        color=style.color,
        marker=style.marker,
        linestyle="none",
        markersize=4.5,
        elinewidth=0.9,
    )


def _places(axes: Axes, table: pd.DataFrame, outcomes: pd.DataFrame) -> None:
    """Draw what is right in the end by the place of facts, of the largest size."""
    size = table["size"].max()
    mine = table[(table["size"] == size) & (table["budget"] == str(Budget.LEARNED))]
    axes.set_title(f"K = {size}, {Budget.LEARNED}", loc="left", fontsize=8)
    axes.set_ylabel("right in the end (%)")
    axes.set_xlabel("place among the facts: first to last (%)")
    _from_nothing(axes, 100)
    axes.set_xlim(0, 100)
    parts = min(_PLACES, size // FEWEST_ITEMS)
    if parts < 2:
        _nothing(axes, 2 * FEWEST_ITEMS)
        return
    middles = 100 * (np.arange(parts) + 0.5) / parts
    for line in mine.to_dict("records"):
        order, facts = Order(line["order"]), of_line(outcomes, line)
        if facts.empty:
            continue
        part = facts["place"] * parts // size
        means = facts.groupby(part)[["right", "right_then"]].mean().reindex(range(parts))
        style = _LOOKS[order]
        if order is Order.DEPTH:
            axes.plot(middles, 100 * means["right_then"], color=_THEN, linestyle=":", zorder=1)
        axes.plot(
            middles, 100 * means["right"],
            color=style.color, marker=style.marker, linestyle=style.dashes, markersize=4.5,
        )  # fmt: skip


def _nothing(axes: Axes, fewest: int = FEWEST_ITEMS) -> None:
    told = f"nothing to show:\nfewer than {fewest} facts count"
    axes.text(0.5, 0.5, told, transform=axes.transAxes, ha="center", va="center", fontsize=8)
