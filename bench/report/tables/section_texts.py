"""What the report's files say of one section, rendered apart from the others.

Texts need a section's rows and its place, so whoever has computed the rows may write them. They
hold no plots: a section with plots is rendered once those are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.html.page import section_html
from bench.report.leaderboard.board import Section
from bench.report.tables.latex import section_tex
from bench.report.tables.limits import example_rows
from bench.report.tables.markdown import section_markdown


@dataclass(frozen=True, slots=True)
class Place:
    """What a section's texts depend on beside its rows.

    Attributes:
        title: Unique in the report.
        number: Counted from 1.
        examples: Of how many rows the page has example answers.
    """

    title: str
    number: int
    examples: int


@dataclass(frozen=True, slots=True)
class Texts:
    """A section as it stands in `leaderboard.md`, `.tex` and `.html`."""

    markdown: str
    tex: str
    html: str


def places(titles: Sequence[str]) -> list[Place]:
    """Return the places of all sections of a report."""
    examples = example_rows(len(titles))
    return [Place(title, number, examples) for number, title in enumerate(titles, 1)]


def texts_of(section: Section, place: Place) -> Texts:
    """Render a section whose title is that of its place.

    Raises:
        DamagedRowsError: The texts of its facts cannot be read.
    """
    return Texts(
        markdown=section_markdown(section),
        tex=section_tex(section),
        html=section_html(section, place.number, place.examples),
    )
