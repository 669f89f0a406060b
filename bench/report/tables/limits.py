"""How much of a large board is drawn and shown, and the sentences that say what is left out.

A plot of twenty methods takes a second or two, and nobody reads hundreds. The tables in
`leaderboard.csv`, `.md` and `.tex` are always complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.report.leaderboard.board import Leaderboard, Section
from tasks.errors import UsageError, nearest

AUTO, ALL, NONE = "auto", "all", "none"
SECTIONS_DRAWN = 12
"""With more sections than this, only the plots that are asked for are drawn."""

ACROSS_DRAWN = 12
"""The most plots across sections that are drawn without being asked for."""

ROWS_DRAWN = 24
"""More colours and markers cannot be told apart."""

PAGE_ROWS = 500
PAGE_EXAMPLES = 60
"""Rows on the whole page that show example answers, shared equally by the sections."""

TERMINAL_SECTIONS = 12
TERMINAL_ROWS = 60


@dataclass(frozen=True)
class Drawing:
    """Which plots are drawn.

    Attributes:
        wanted: `auto`, `all`, `none`, or a part of the titles that are drawn.
        sections: How many the board has.
    """

    wanted: str
    sections: int

    @property
    def is_empty(self) -> bool:
        """Whether no plot is drawn, whatever its title."""
        return self.wanted == NONE or (self.wanted == AUTO and self.sections > SECTIONS_DRAWN)

    def includes(self, title: str) -> bool:
        """Return whether plots of that title are drawn."""
        if self.wanted in (AUTO, ALL, NONE):
            return not self.is_empty
        return self.wanted.casefold() in title.casefold()


def check_wanted(drawing: Drawing, titles: Sequence[str]) -> None:
    """Check that a text which was asked for is in some title.

    Raises:
        UsageError: It is in none; names near ones.
    """
    if drawing.wanted in (AUTO, ALL, NONE) or any(map(drawing.includes, titles)):
        return
    close = nearest(drawing.wanted, titles) or list(titles[:3])
    raise UsageError(
        f"--plots '{drawing.wanted}' is in no title: write auto, all, none, or part of a title, "
        f"such as {', '.join(close)}"
    )


def to_draw(section: Section) -> Section:
    """Return a section with the rows that are drawn: the best ones, and the reference."""
    if len(section.done) <= ROWS_DRAWN:
        return section
    best = section.done[:ROWS_DRAWN]
    reference = [r for r in section.done if r.label == section.reference and r not in best]
    return replace(section, rows=(*best[: ROWS_DRAWN - len(reference)], *reference))


def drawn_remark(section: Section) -> str:
    """Say which rows of a section its plots show; empty where they show all."""
    if len(section.done) <= ROWS_DRAWN:
        return ""
    return f"Plots show the best {ROWS_DRAWN} of {len(section.done)} methods and the reference."


def left_out(board: Leaderboard, wanted: str) -> str:
    """Say that plots were left out and how to get them; empty if nothing was left out."""
    if wanted != AUTO or len(board.sections) <= SECTIONS_DRAWN:
        return ""
    return (
        f"With more than {SECTIONS_DRAWN} model-task pairs, plots are off; --plots TEXT draws "
        f"those with TEXT in their title, and --plots all draws all {len(board.sections)}."
    )


def hidden_remark(section: Section, most: int) -> str:
    """Say how many rows are not shown, and where they are; empty where all are."""
    more = len(section.rows) - most
    return f"{more} more rows are in leaderboard.csv and leaderboard.md." if more > 0 else ""


def example_rows(sections: int) -> int:
    """Return how many rows of each section show example answers, given the number of sections."""
    return max(1, PAGE_EXAMPLES // max(sections, 1))
