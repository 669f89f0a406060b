"""Cost curves: what was measured as work grows, the fitted exponent, and the expected one."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.pages.performance.clock import settled

DECADES = 2
"""An exponent is fitted over this many upper decades; below them fixed costs dominate."""

SHORT = 0.2
"""Timings below this many seconds are repeated; the shortest of three counts."""

PANELS_BESIDE = 2
"""Panels of the figure side by side."""


@dataclass(frozen=True)
class Point:
    """How many seconds one size took."""

    size: int
    seconds: float


@dataclass(frozen=True)
class Curve:
    """Cost over sizes.

    Attributes:
        what: What is timed.
        axis: What grows: facts, cells, layers or width.
        points: The measurements, by size.
        expected: The largest exponent e of seconds ~ size^e that the work should have.
    """

    what: str
    axis: str
    points: tuple[Point, ...]
    expected: float

    @property
    def exponent(self) -> float | None:
        """The exponent fitted over the upper decades; None with fewer than two sizes there."""
        least = max(point.size for point in self.points) / 10**DECADES
        upper = [point for point in self.points if point.size >= least and point.seconds > 0]
        if len({point.size for point in upper}) < 2:
            return None
        sizes, seconds = zip(*[(math.log(p.size), math.log(p.seconds)) for p in upper], strict=True)
        return float(np.polyfit(sizes, seconds, 1)[0])


def least_seconds(run: Callable[[], object]) -> float:
    """Return the wall seconds of a call; the shortest of three if it is short."""
    found = [timed(run)]
    while found[0] < SHORT and len(found) < 3:
        found.append(timed(run))
    return min(found)


def timed(run: Callable[[], object]) -> float:
    """Return the wall seconds of a call, the work that it gave a GPU done."""
    gc.collect()
    started = settled()
    run()
    return settled() - started


def curves_png(curves: Sequence[Curve]) -> bytes:
    """Draw seconds over sizes, both axes logarithmic, a panel for each thing that grows."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    from bench.report.plots._style import image, settings, style_of

    names = list(dict.fromkeys(curve.axis for curve in curves))
    columns = min(PANELS_BESIDE, len(names))
    rows = -(-len(names) // columns)
    with settings():
        figure = Figure(figsize=(4.5 * columns, 3.6 * rows), layout="constrained")
        for place, name in enumerate(names, start=1):
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
            axes.legend(fontsize=7)
        return image(figure, "png")
