"""The plots of the report, each kind in a file of its own.

A plot of a section is a file with `CAPTION` and `draw(section, styles)`, and a line in `PLOTS`.
A plot across sections has `draw(board, drawing)`, which gives any number of figures with their
titles, those that `drawing` includes, and a line in `BOARD_PLOTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Leaderboard, Section
from bench.report.plots import (
    accuracy_bins,
    before_after,
    costs,
    deviation,
    layers,
    models,
    pareto,
    tuning,
)
from bench.report.plots import accuracy_quantiles as accuracy
from bench.report.plots import learning_curves as curves
from bench.report.plots import learning_curves_by_distance as bucket_curves
from bench.report.plots._style import Styles, image, method_styles, settings
from bench.report.tables.limits import ACROSS_DRAWN, AUTO, Drawing, check_wanted, to_draw


@dataclass(frozen=True, slots=True)
class PlotKind:
    """A plot that every section has, unless `draw` finds nothing to show and returns None."""

    name: str
    caption: str
    draw: Callable[[Section, Styles], Figure | None]


@dataclass(frozen=True, slots=True)
class BoardPlotKind:
    """Plots that compare sections: figures with titles, none where there is nothing to compare."""

    name: str
    caption: str
    draw: Callable[[Leaderboard, Drawing], Iterator[tuple[str, Figure]]]


PLOTS = (
    PlotKind("pareto", pareto.CAPTION, pareto.draw),
    PlotKind("tuning", tuning.CAPTION, tuning.draw),
    PlotKind("costs", costs.CAPTION, costs.draw),
    PlotKind("learning-curves", curves.CAPTION, curves.draw),
    PlotKind("distance-buckets", accuracy.CAPTION, accuracy.draw),
    PlotKind("distance-bins", accuracy_bins.CAPTION, accuracy_bins.draw),
    PlotKind("bucket-curves", bucket_curves.CAPTION, bucket_curves.draw),
    PlotKind("deviation", deviation.CAPTION, deviation.draw),
    PlotKind("before-after", before_after.CAPTION, before_after.draw),
    PlotKind("layers", layers.CAPTION, layers.draw),
)
BOARD_PLOTS = (BoardPlotKind("models", models.CAPTION, models.draw),)


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot in both forms; `section` is None for one that compares sections."""

    kind: PlotKind | BoardPlotKind
    title: str
    section: Section | None
    png: bytes
    svg: bytes


def draw_plots(board: Leaderboard, wanted: str = AUTO) -> Iterator[Plot]:
    """Draw the plots of each section, then those across sections.

    A method looks the same in all of them.

    Args:
        board: What is drawn.
        wanted: `all` for every plot, `none`, a text for those with it in their title, or `auto`:
            all that a person would look through, see `bench.report.tables.limits`.

    Raises:
        UsageError: A text is in no title.
    """
    drawing = Drawing(wanted, len(board.sections))
    check_wanted(drawing, [section.title for section in board.sections])
    styles = method_styles(board)
    with settings():
        for section in board.sections:
            if drawing.includes(section.title):
                yield from _of_section(section, styles)
        most = ACROSS_DRAWN if wanted == AUTO else None
        for across in BOARD_PLOTS:
            for title, figure in islice(across.draw(board, drawing), most):
                yield _plot(across, title, None, figure)


def _of_section(section: Section, styles: Styles) -> Iterator[Plot]:
    drawn = to_draw(section)
    for kind in PLOTS:
        figure = kind.draw(drawn, styles)
        if figure is not None:
            yield _plot(kind, section.title, section, figure)


def _plot(
    kind: PlotKind | BoardPlotKind, title: str, section: Section | None, figure: Figure
) -> Plot:
    png = image(figure, "png")
    figure.set_layout_engine("none")  # Laid out: doing it again for the other form takes as long.
    return Plot(kind, title, section, png, image(figure, "svg"))
