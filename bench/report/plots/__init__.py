"""The plots of the report, each kind in a file of its own, found by its decorator.

`@plot(name, caption)` marks the function that draws it, see `_kinds`. Modules that start with `_`
hold what plots share.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from matplotlib.figure import Figure

from bench.report.leaderboard.board import Leaderboard, Section
from bench.report.plots._kinds import KINDS, PlotKind
from bench.report.plots._style import image, method_styles, settings
from bench.report.tables.limits import ACROSS_DRAWN, AUTO, Drawing, check_wanted, to_draw
from tasks.errors import UsageError
from tasks.registry import imported, told

NOT_LOADED: list[str] = []
"""A line for each file of this folder that cannot be used: the others are drawn all the same."""

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        try:
            imported(f"{__name__}.{_module.name}")
        except UsageError as error:
            NOT_LOADED.append(str(error))

_ORDERED = sorted(KINDS.values(), key=lambda kind: (kind.order, kind.name))
PLOTS = tuple(kind for kind in _ORDERED if not kind.across)
BOARD_PLOTS = tuple(kind for kind in _ORDERED if kind.across)


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot in both forms; `section` is None for one that compares sections."""

    kind: PlotKind
    title: str
    section: Section | None
    png: bytes
    svg: bytes


def draw_plots(
    board: Leaderboard, wanted: str = AUTO, problems: dict[str, None] | None = None
) -> Iterator[Plot]:
    """Draw the plots of each section, then those across sections.

    A method looks the same in all of them. A plot whose code raises costs its own picture only.

    Args:
        board: What is drawn.
        wanted: `all` for every plot, `none`, a text for those with it in their title, or `auto`:
            all that a person would look through, see `bench.report.tables.limits`.
        problems: Gets a line for each plot that cannot be drawn; a dictionary, as many sections
            may have the same problem.

    Raises:
        UsageError: A text is in no title, or a file that is read for a plot is damaged.
    """
    problems = {} if problems is None else problems
    problems.update(dict.fromkeys(NOT_LOADED))
    drawing = Drawing(wanted, len(board.sections))
    check_wanted(drawing, [section.title for section in board.sections])
    styles = method_styles(board)
    with settings():
        for section in board.sections:
            drawn = to_draw(section)
            kinds = PLOTS if drawing.includes(section.title) else ()
            for kind in kinds:
                if kind.of_facts and not section.facts:
                    continue
                with _noted(kind, problems):
                    figure = kind.draw(drawn, styles)
                    if figure is not None:
                        yield _plot(kind, section.title, section, figure)
        most = ACROSS_DRAWN if wanted == AUTO else None
        for across in BOARD_PLOTS:
            with _noted(across, problems):
                for title, figure in islice(across.draw(board, drawing), most):
                    yield _plot(across, title, None, figure)


@contextmanager
def _noted(kind: PlotKind, problems: dict[str, None]) -> Iterator[None]:
    """Note what the code of a plot raises, and go on."""
    try:
        yield
    except UsageError:
        raise  # damaged rows: the report is made anew without their cell
    except Exception as error:
        problems[told(error, kind.draw.__module__, f"cannot draw '{kind.name}'")] = None


def _plot(kind: PlotKind, title: str, section: Section | None, figure: Figure) -> Plot:
    png = image(figure, "png")
    figure.set_layout_engine("none")  # Laid out: doing it again for the other form takes as long.
    return Plot(kind, title, section, png, image(figure, "svg"))
