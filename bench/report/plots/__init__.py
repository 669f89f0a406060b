"""The plots of a section. A new one is a file with `CAPTION` and `draw`, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from bench.report.board import Leaderboard, Section
from bench.report.plots import buckets, curves, pareto
from bench.report.plots.style import Styles, image, method_styles, settings

Draw = Callable[[Section, Styles], Figure | None]


@dataclass(frozen=True, slots=True)
class PlotKind:
    """A plot that every section has, unless `draw` finds nothing to show and returns None."""

    name: str
    caption: str
    draw: Draw


PLOTS = (
    PlotKind("pareto", pareto.CAPTION, pareto.draw),
    PlotKind("learning-curves", curves.CAPTION, curves.draw),
    PlotKind("distance-buckets", buckets.CAPTION, buckets.draw),
)


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of one section in both forms."""

    section: Section
    kind: PlotKind
    png: bytes
    svg: bytes


def draw_plots(board: Leaderboard) -> Iterator[Plot]:
    """Draw every plot of every section; a method looks the same in all of them."""
    styles = method_styles(board)
    with settings():
        for section in board.sections:
            for kind in PLOTS:
                figure = kind.draw(section, styles)
                if figure is not None:
                    yield Plot(section, kind, image(figure, "png"), image(figure, "svg"))
