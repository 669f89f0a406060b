"""Names beside points, placed so that they overlap neither each other nor a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.redaction import safe_text
from bench.report.plots._style import Styles, error
from bench.report.statistics.intervals import Estimate

_ANGLES = (30, 150, 330, 210, 90, 270, 0, 180)
_RADII = (9, 16, 26, 38, 52, 68, 86, 106)
_POINT = 5.0
_LEADER_FROM = 20


@dataclass(frozen=True, slots=True)
class Named:
    """A point in data coordinates, with the name and colour of its label."""

    x: float
    y: float
    name: str
    color: str


def mark_method(
    axes: Axes,
    label: str,
    styles: Styles,
    across: float,
    learned: Estimate,
    *,
    bars: Sequence[float] = (),
    hollow: bool = False,
) -> Named:
    """Draw a method's point with its bars; return it for `label_points`.

    Args:
        axes: The panel.
        label: The label of the method's row.
        styles: How all methods are drawn, by label.
        across: The point's place on the horizontal axis.
        learned: Its place on the vertical axis: a share, drawn in percent.
        bars: Lengths of the horizontal bar, to the left and to the right of the point.
        hollow: Whether the mark is empty.
    """
    style = styles[label]
    axes.errorbar(
        across,
        100 * learned.value,
        xerr=[[bar] for bar in bars] or None,
        yerr=[[100 * end] for end in error(learned.value, learned.interval)],
        color=style.color,
        marker=style.marker,
        markerfacecolor="white" if hollow else style.color,
        markersize=6,
        elinewidth=0.8,
        alpha=0.9,
        zorder=3,
    )
    return Named(across, 100 * learned.value, safe_text(label), style.color)


class _Box(NamedTuple):
    """A rectangle on the canvas, in pixels; many are compared, so no `Bbox`, which is slow."""

    left: float
    bottom: float
    right: float
    top: float

    def shared(self, other: _Box) -> float:
        """Return the area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return width * height if width > 0 and height > 0 else 0.0


def label_points(panels: Sequence[tuple[Axes, Sequence[Named]]]) -> None:
    """Label each point at the nearest free place around it, with a thin line from far places.

    Limits and layout must be final: places are compared on the canvas, in pixels.

    Args:
        panels: The panels of one figure, each with its points.
    """
    figure = panels[0][0].get_figure(root=True)
    assert figure is not None
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    for axes, points in panels:
        _label(axes, points, figure.dpi / 72, canvas)


def _label(axes: Axes, points: Sequence[Named], pixels: float, canvas: FigureCanvasAgg) -> None:
    centres = [axes.transData.transform((point.x, point.y)) for point in points]
    half = _POINT * pixels
    taken = [_Box(x - half, y - half, x + half, y + half) for x, y in centres]
    frame = _Box(*axes.get_window_extent().extents)
    for point, (x, y) in sorted(zip(points, centres, strict=True), key=lambda entry: -entry[1][1]):
        text = axes.text(0, 0, point.name, fontsize=8)
        width, height = text.get_window_extent(canvas.get_renderer()).size
        text.remove()
        places = [
            (_box(x, y, angle, radius * pixels, width, height), angle, radius)
            for radius in _RADII
            for angle in _ANGLES
        ]
        box, angle, radius = min(places, key=lambda place: _cost(place[0], taken, frame, place[2]))
        taken.append(box)
        _write(axes, point, angle, radius)


def _cost(box: _Box, taken: Sequence[_Box], frame: _Box, radius: float) -> tuple[float, float]:
    """Return what a place costs: first pixels covered or cut off, then distance."""
    covered = sum(box.shared(other) for other in taken)
    cut = box.shared(box) - box.shared(frame)
    return (round(covered + cut, 1), radius)


def _box(x: float, y: float, angle: float, radius: float, width: float, height: float) -> _Box:
    """Return where a text lies whose nearest corner or side is at `radius` and `angle`."""
    dx, dy = _offset(angle, radius)
    across, up = _anchor(dx), _anchor(dy)
    left, bottom = x + dx - across * width, y + dy - up * height
    return _Box(left, bottom, left + width, bottom + height)


def _offset(angle: float, radius: float) -> tuple[float, float]:
    return radius * math.cos(math.radians(angle)), radius * math.sin(math.radians(angle))


def _anchor(offset: float) -> float:
    """Return which part of the text sits at the offset: 0 its start, 0.5 its middle, 1 its end."""
    return 0.5 if abs(offset) < 1 else float(offset < 0)


def _write(axes: Axes, point: Named, angle: float, radius: float) -> None:
    dx, dy = _offset(angle, radius)
    leader = {"arrowstyle": "-", "color": point.color, "lw": 0.6, "alpha": 0.7, "shrinkB": 4}
    note = axes.annotate(
        point.name,
        (point.x, point.y),
        xytext=(dx, dy),
        textcoords="offset points",
        ha=("left", "center", "right")[int(2 * _anchor(dx))],
        va=("bottom", "center", "top")[int(2 * _anchor(dy))],
        fontsize=8,
        color=point.color,
        arrowprops=leader if radius > _LEADER_FROM else None,
        zorder=5,
    )
    note.set_path_effects([patheffects.withStroke(linewidth=2, foreground="white")])
