"""The registry of plots: each is a file of this folder with a decorated function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Leaderboard, Section
from bench.report.plots._style import Styles
from bench.report.tables.limits import Drawing
from tasks.errors import UsageError

DrawSection = Callable[[Section, Styles], Figure | None]
DrawBoard = Callable[[Leaderboard, Drawing], Iterator[tuple[str, Figure]]]

LAST = 1000


@dataclass(frozen=True, slots=True)
class PlotKind:
    """A plot that every section has, unless `draw` finds nothing to show and returns None."""

    name: str
    caption: str
    order: int
    draw: DrawSection


@dataclass(frozen=True, slots=True)
class BoardPlotKind:
    """Plots that compare sections: figures with titles, none where there is nothing to compare."""

    name: str
    caption: str
    order: int
    draw: DrawBoard


KINDS: dict[str, PlotKind | BoardPlotKind] = {}


def section_plot(
    name: str, caption: str, order: int = LAST
) -> Callable[[DrawSection], DrawSection]:
    """Return the decorator of a function that draws a plot of one section.

    Args:
        name: What its files' names begin with.
        caption: Said below it, one sentence.
        order: Its place on the page; plots of one place are in the order of their names.
    """

    def add(draw: DrawSection) -> DrawSection:
        _add(PlotKind(name, caption, order, draw))
        return draw

    return add


def board_plot(name: str, caption: str, order: int = LAST) -> Callable[[DrawBoard], DrawBoard]:
    """Return the decorator of a function that draws plots across sections, see `section_plot`."""

    def add(draw: DrawBoard) -> DrawBoard:
        _add(BoardPlotKind(name, caption, order, draw))
        return draw

    return add


def _add(kind: PlotKind | BoardPlotKind) -> None:
    present = KINDS.setdefault(kind.name, kind)
    if present.draw.__module__ != kind.draw.__module__:
        raise UsageError(
            f"plot '{kind.name}' is registered twice: in {present.draw.__module__} and "
            f"{kind.draw.__module__}; rename one"
        )
    KINDS[kind.name] = kind
