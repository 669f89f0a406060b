"""The curves as one figure: a panel for each thing that grows, both axes logarithmic."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.perf.curves import Curve
from bench.report.plots.style import style_of

SETTINGS = {"svg.hashsalt": "semantic-peft-bench", "svg.fonttype": "path", "font.size": 9}


def draw(curves: Sequence[Curve]) -> Figure:
    """Draw seconds over sizes."""
    axes_names = list(dict.fromkeys(curve.axis for curve in curves))
    figure = Figure(figsize=(4.2 * len(axes_names), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for place, name in enumerate(axes_names, start=1):
        axes = figure.add_subplot(1, len(axes_names), place)
        for index, curve in enumerate(c for c in curves if c.axis == name):
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
