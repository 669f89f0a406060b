"""One look for every plot: a method has the same colour, marker and line everywhere."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.board import Leaderboard, Row, Section
from bench.report.statistics import Estimate, Interval
from bench.report.wording import printable

# Okabe and Ito's palette, its yellow left out as too light on white, then Tol's muted tones:
# told apart with the common colour deficiencies. Markers and dashes say the same without colour.
_COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"),
    *("#56B4E9", "#000000", "#882255", "#999933"),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
Dashes = Literal["-", "--", "-.", ":"]
_DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":")
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
    labels = sorted({row.label for row in board.rows})
    return {label: style_of(index) for index, label in enumerate(labels)}


def style_of(index: int) -> MethodStyle:
    """Return the look of the series of that index, counted from 0."""
    return MethodStyle(
        color=_COLORS[index % len(_COLORS)],
        marker=_MARKERS[index % len(_MARKERS)],
        dashes=_DASHES[index // len(_COLORS) % len(_DASHES)],
    )


def settings() -> Any:
    """Return the context in which figures are made and saved."""
    return mpl.rc_context(_SETTINGS)


def new_figure(columns: int, section: Section, heading: str, note: str, rows: int = 1) -> Figure:
    """Return an empty figure for so many panels, its title saying what is shown and of what.

    Args:
        columns: Panels side by side.
        section: What is plotted: its base, task, facts and seeds are named.
        heading: What the plot shows.
        note: What the marks and bars are.
        rows: Panels above each other.
    """
    figure = Figure(figsize=(1.2 + 4.2 * max(columns, 1.5), 0.6 + 4.2 * rows), layout="constrained")
    seeds = ", ".join(map(str, section.seeds))
    plural = "seed" if len(section.seeds) == 1 else "seeds"
    facts = f"{section.facts} fact" + ("" if section.facts == 1 else "s")
    where = f"{section.title}: {facts}, {plural} {seeds}"
    figure.suptitle(f"{heading}\n{printable(where)}\n{note}", fontsize=10, x=0.01, ha="left")
    return figure


def shared_legend(figure: Figure, rows: Iterable[Row], styles: Styles) -> None:
    """Put one legend below all panels, where it covers no data."""
    handles = [
        Line2D([], [], color=s.color, marker=s.marker, linestyle=s.dashes, label=printable(r.label))
        for r, s in ((row, styles[row.label]) for row in rows)
    ]
    wide = max(len(str(handle.get_label())) for handle in handles) > 24
    room = 2 if wide else 5
    figure.legend(
        handles=handles, loc="outside lower left", ncols=min(room, len(handles)), frameon=False
    )


def error(value: float, interval: Interval | None) -> tuple[float, float]:
    """Return the lengths of an error bar below and above a value; none without an interval."""
    if interval is None:
        return 0.0, 0.0
    return max(value - interval.low, 0.0), max(interval.high - value, 0.0)


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
    return buffer.getvalue()
