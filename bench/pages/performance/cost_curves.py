"""Curves of cost as work grows: what was measured, the exponent that fits, and what is expected."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DECADES = 2
"""An exponent is fitted over so many of the upper decades: below them fixed costs show."""

SHORT = 0.2
"""Seconds under which a timing is taken three times, for the least."""

PANELS_BESIDE = 2
"""Panels of the figure beside one another."""


@dataclass(frozen=True)
class Point:
    """Seconds that a size took."""

    size: int
    seconds: float


@dataclass(frozen=True)
class Curve:
    """Cost over sizes.

    Attributes:
        what: Is timed.
        axis: What grows: facts, cells, layers, width.
        points: By size.
        expected: The exponent e of seconds ~ size^e that the work should have, at most.
    """

    what: str
    axis: str
    points: tuple[Point, ...]
    expected: float

    @property
    def exponent(self) -> float | None:
        """The fitted exponent over the upper decades; None of fewer than two sizes."""
        least = max(point.size for point in self.points) / 10**DECADES
        upper = [point for point in self.points if point.size >= least and point.seconds > 0]
        if len({point.size for point in upper}) < 2:
            return None
        sizes, seconds = zip(*[(math.log(p.size), math.log(p.seconds)) for p in upper], strict=True)
        return float(np.polyfit(sizes, seconds, 1)[0])


def least_seconds(run: Callable[[], object]) -> float:
    """Return the wall seconds of a call, the least of three where it is short."""
    found = [_seconds(run)]
    while found[0] < SHORT and len(found) < 3:
        found.append(_seconds(run))
    return min(found)


def _seconds(run: Callable[[], object]) -> float:
    gc.collect()
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


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
