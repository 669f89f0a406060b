"""The report's plots as matplotlib figures."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import overload

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Leaderboard
from bench.report.plots import BOARD_PLOTS, PLOTS
from bench.report.plots._kinds import PlotKind
from bench.report.plots._style import image, method_styles, settings
from bench.report.tables.limits import ALL, Drawing, check_wanted, to_draw
from tasks.errors import UsageError, unknown_name


@dataclass(frozen=True)
class Pictures(Sequence[Figure]):
    """Figures in their order; a notebook shows all of them.

    Attributes:
        titles: What each is about, such as `smollm2-135m on countries`.
        figures: To change or to save: `pictures[0].savefig("paths.pdf")`.
    """

    titles: tuple[str, ...]
    figures: tuple[Figure, ...]

    @overload
    def __getitem__(self, index: int) -> Figure: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Figure]: ...
    def __getitem__(self, index: int | slice) -> Figure | Sequence[Figure]:
        """Return a figure, or some."""
        return self.figures[index]

    def __len__(self) -> int:
        """Return how many figures there are."""
        return len(self.figures)

    def _repr_html_(self) -> str:
        with settings():
            return "\n".join(map(_embedded, self.titles, self.figures))


def draw(board: Leaderboard, kind: str, title: str = "") -> Pictures:
    """Draw a plot for each section, or across them.

    Args:
        board: What is drawn.
        kind: The name of the plot.
        title: A part of the titles that are drawn; empty for all.

    Raises:
        UsageError: There is no such plot or title, or nothing to show.
    """
    kinds = {known.name: known for known in (*PLOTS, *BOARD_PLOTS)}
    if kind not in kinds:
        raise unknown_name("plot", kind, kinds)
    drawing = Drawing(title or ALL, len(board.sections))
    check_wanted(drawing, [section.title for section in board.sections])
    with settings():
        drawn = dict(_drawn(board, kinds[kind], drawing))
    if not drawn:
        raise UsageError(f"plot '{kind}': no cell here measured what it shows")
    return Pictures(tuple(drawn), tuple(drawn.values()))


def _drawn(board: Leaderboard, kind: PlotKind, drawing: Drawing) -> Iterator[tuple[str, Figure]]:
    if kind.across:
        yield from kind.draw(board, drawing)
        return
    styles = method_styles(board)
    for section in board.sections:
        if drawing.includes(section.title) and (section.facts or not kind.of_facts):
            figure = kind.draw(to_draw(section), styles)
            if figure is not None:
                yield section.title, figure


def _embedded(title: str, figure: Figure) -> str:
    content = base64.b64encode(image(figure, "png")).decode()
    style = "max-width: 100%; height: auto"
    return f'<img alt="{escape(title)}" style="{style}" src="data:image/png;base64,{content}">'
