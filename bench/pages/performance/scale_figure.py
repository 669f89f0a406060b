"""The curves as one figure, a panel for each thing that grows, both axes logarithmic."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bench.pages.performance.curves import Curve
from bench.report.plots._style import style_of

SETTINGS = {"svg.hashsalt": "semantic-peft-bench", "svg.fonttype": "path", "font.size": 9}
COLUMNS = 2
"""Panels beside one another."""


def draw(curves: Sequence[Curve]) -> Figure:
    """Draw seconds over sizes."""
    axes_names = list(dict.fromkeys(curve.axis for curve in curves))
    columns = min(COLUMNS, len(axes_names))
    rows = -(-len(axes_names) // columns)
    figure = Figure(figsize=(4.5 * columns, 3.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, name in enumerate(axes_names, start=1):
        axes = figure.add_subplot(rows, columns, place)
        shown = [curve for curve in curves if curve.axis == name]
        for index, curve in enumerate(shown):
            style = style_of(index)
            axes.plot(
                [point.size for point in curve.points],
                [point.seconds for point in curve.points],
                color=style.color,
                marker=style.marker,
                linestyle=style.dashes,
                label=curve.what,
            )
        axes.set(xscale="log", yscale="log", xlabel=name, ylabel="seconds")
        sizes = sorted({point.size for curve in shown for point in curve.points})
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7)
    return figure


def files(curves: Sequence[Curve]) -> dict[str, bytes]:
    """Return the figure's files by their suffix."""
    found = {}
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure = draw(curves)
        for suffix in ("png", "svg"):
            content = io.BytesIO()
            metadata = {"Date": None} if suffix == "svg" else None
            figure.savefig(content, format=suffix, dpi=150, metadata=metadata)
            found[f".{suffix}"] = content.getvalue()
    return found
