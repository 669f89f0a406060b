"""The registry of plots: each is a file of this folder with a decorated function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tasks.errors import UsageError

D = TypeVar("D", bound=Callable[..., Any])

LAST = 1000


@dataclass(frozen=True, slots=True)
class PlotKind:
    """A kind of plot; see `plot` for its attributes."""

    name: str
    caption: str
    order: int
    across: bool
    of_facts: bool
    draw: Callable[..., Any]


KINDS: dict[str, PlotKind] = {}


def plot(
    name: str, caption: str, *, order: int = LAST, across: bool = False, of_facts: bool = False
) -> Callable[[D], D]:
    """Return the decorator of a function that draws a plot of the report.

    It is called with a `Section` and the `Styles` of its methods, and returns a figure, or None
    where there is nothing to show.

    Args:
        name: The first part of the names of its files.
        caption: One sentence that is shown below it, worded for facts.
        order: Its place on the page; plots with the same place are sorted by name.
        across: Whether it compares sections: it is then called with the `Leaderboard` and a
            `Drawing`, and yields titles and figures, those that the drawing includes.
        of_facts: Whether it shows facts, so that it is not drawn where none are asked.
    """

    def add(draw: D) -> D:
        present = KINDS.setdefault(name, PlotKind(name, caption, order, across, of_facts, draw))
        if present.draw.__module__ != draw.__module__:
            places = f"{present.draw.__module__} and {draw.__module__}"
            raise UsageError(f"plot '{name}' is registered twice: in {places}; rename one")
        return draw

    return add
