"""One look for every plot: a method has the same colour, marker and line everywhere."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.redaction import safe_text
from bench.report.leaderboard.board import Leaderboard, Section
from bench.report.statistics.intervals import Estimate, Interval

# Okabe and Ito's palette, its yellow left out as too light on white, then muted tones of Tol's:
# told apart with the common colour deficiencies. Markers and dashes say the same without colour.
_COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"),
    *("#56B4E9", "#000000", "#882255", "#999933", "#332288", "#AA4499"),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
Dashes = Literal["-", "--", "-.", ":"]
_DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":")
_LEAST_WIDTH = 7.5
_LETTERS_PER_INCH = 12
_SETTINGS: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.dpi": 150,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.alpha": 0.25,
    "svg.fonttype": "path",
    "svg.hashsalt": "semantic-peft-bench",
    "text.parse_math": False,
}


@dataclass(frozen=True, slots=True)
class MethodStyle:
    """How one method is drawn."""

    color: str
    marker: str
    dashes: Dashes


Styles = Mapping[str, MethodStyle]
"""By row label."""


def method_styles(board: Leaderboard) -> Styles:
    """Assign styles by the sorted labels of the whole board, so that sections agree."""
    return styles_of(row.label for row in board.rows)


def styles_of(labels: Iterable[str]) -> Styles:
    """Assign a style to each label, by its place among all of them."""
    return {label: style_of(index) for index, label in enumerate(sorted(set(labels)))}


def style_of(index: int) -> MethodStyle:
    """Return the look of the series of that index, counted from 0.

    Colour and marker together are another pair for each of the first 121, as pictures without
    lines need.
    """
    lap = index // len(_COLORS)
    return MethodStyle(
        color=_COLORS[index % len(_COLORS)],
        marker=_MARKERS[(index + 5 * lap) % len(_MARKERS)],
        dashes=_DASHES[lap % len(_DASHES)],
    )


def settings() -> Any:
    """Return the context in which figures are made and saved."""
    return mpl.rc_context(_SETTINGS)


@dataclass(frozen=True, slots=True)
class PanelSize:
    """Inches of one panel with its labels."""

    width: float
    height: float


SQUARE = PanelSize(4.2, 4.2)
WIDE = PanelSize(10.0, 3.4)
SMALL = PanelSize(2.7, 2.7)


def new_figure(
    columns: int,
    section: Section,
    heading: str,
    note: str,
    rows: int = 1,
    panel: PanelSize = SQUARE,
) -> Figure:
    """Return an empty figure for panels of a section, its title saying what is shown and of what.

    Args:
        columns: Panels side by side.
        section: What is plotted: its base, task, facts and seeds are named.
        heading: What the plot shows, worded for facts.
        note: What the marks and bars are, likewise.
        rows: Panels above each other.
        panel: Size of each.
    """
    heading, note = section.worded(heading), section.worded(note)
    plural = "seed" if len(section.seeds) == 1 else "seeds"
    where = f"{section.title}: {section.asked}, {plural} {', '.join(map(str, section.seeds))}"
    return titled_figure(columns, rows, panel, heading, where, note)


def titled_figure(
    columns: int, rows: int, panel: PanelSize, heading: str, where: str, note: str
) -> Figure:
    """Return an empty figure with its title; see `new_figure` for one of a section.

    Args:
        columns: Panels side by side.
        rows: Panels above each other.
        panel: Size of each.
        heading: What the plot shows.
        where: Of what: base, task, facts, seeds.
        note: What the marks and bars are.
    """
    width = max(1.2 + panel.width * columns, _LEAST_WIDTH)
    figure = Figure(figsize=(width, 0.9 + panel.height * rows), layout="constrained")
    lines = [
        line
        for text in (heading, safe_text(where), note)
        for line in textwrap.wrap(text, int(width * _LETTERS_PER_INCH))
    ]
    figure.suptitle("\n".join(lines), fontsize=10, x=0.01, ha="left")
    return figure


def shared_legend(figure: Figure, labels: Sequence[str], styles: Styles) -> None:
    """Put one legend below all panels, where it covers no data."""
    handles = [
        Line2D([], [], color=s.color, marker=s.marker, linestyle=s.dashes, label=safe_text(label))
        for label, s in ((label, styles[label]) for label in labels)
    ]
    wide = max(len(str(handle.get_label())) for handle in handles) > 24
    room = max(1, int(figure.get_figwidth() / (4.0 if wide else 1.9)))
    figure.legend(
        handles=handles, loc="outside lower left", ncols=min(room, len(handles)), frameon=False
    )


def wrapped(label: str, letters: int) -> str:
    """Return a method's label on lines of at most so many letters, broken before its parts."""
    lines = [""]
    for number, part in enumerate(safe_text(label).split("+")):
        piece = part if number == 0 else f"+{part}"
        if lines[-1] and len(lines[-1]) + len(piece) > letters:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def error(value: float, interval: Interval | None) -> tuple[float, float]:
    """Return the lengths of an error bar below and above a value; none without an interval."""
    if interval is None:
        return 0.0, 0.0
    return max(value - interval.low, 0.0), max(interval.high - value, 0.0)


def draw_curve(
    axes: Axes,
    points: Mapping[int, Estimate],
    style: MethodStyle,
    scale: float,
    *,
    bar: int | None,
    small: bool = False,
) -> None:
    """Draw one method's values over epochs.

    Args:
        axes: The panel.
        points: By epoch.
        style: The method's.
        scale: What values are multiplied by.
        bar: The method's number from 0: its last interval is a bar after the end of the line,
            beside those of the others. None draws all intervals, as a band.
        small: Whether the panel is: only the last point then has a marker.
    """
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not points:
        return
    epochs, found = list(points), list(points.values())
    axes.plot(
        epochs,
        [scale * point.value for point in found],
        color=style.color,
        linestyle=style.dashes,
        marker=style.marker,
        markersize=3 if small else 4,
        markevery=[len(found) - 1] if small else None,
        linewidth=1.2 if small else 1.4,
    )
    lows, highs = ([scale * end for end in side] for side in zip(*map(ends, found), strict=True))
    if bar is None:
        axes.fill_between(epochs, lows, highs, color=style.color, alpha=0.14, linewidth=0)
    else:
        place = epochs[-1] + max(epochs[-1] - 1, 1) * 0.015 * (bar + 1)
        axes.vlines(place, lows[-1], highs[-1], color=style.color, linewidth=0.8 if small else 1)


def ends(estimate: Estimate) -> tuple[float, float]:
    """Return the ends of an estimate's interval, or its value twice."""
    interval = estimate.interval
    return (interval.low, interval.high) if interval else (estimate.value, estimate.value)


def image(figure: Figure, form: str) -> bytes:
    """Return a figure as `png` or `svg`, the same bytes for the same data."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    figure.savefig(buffer, format=form, metadata=metadata)
    drawn = buffer.getvalue()
    # matplotlib names clip areas by a hash of their edges, whose last digits the layout may change.
    for number, name in enumerate(re.findall(rb'<clipPath id="(p[0-9a-f]{10})">', drawn)):
        drawn = drawn.replace(name, b"clip%d" % number)
    return drawn
