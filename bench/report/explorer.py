"""What the page's explorer of facts searches: every answer before and after, as one small JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd

from bench.report.board import Cell, Leaderboard, Row, Section
from bench.report.examples import FATES, fate_numbers
from bench.report.plots.buckets import bucket_of, edges_of, quantile_buckets
from bench.report.wording import printable

MOST_ANSWERS = 20_000
"""So many keep the page below a few MB; which cells are left out is said."""

_LONGEST = 300


class ExplorerFact(TypedDict):
    """A fact, with the number of its bucket from 0 and the texts as they are shown."""

    id: str
    question: str
    target: str
    old: str
    bucket: int


class ExplorerSection(TypedDict):
    """A section's facts, and their ranges of distance by bucket."""

    title: str
    buckets: list[str]
    facts: list[ExplorerFact]


class ExplorerCell(TypedDict):
    """A cell's answers in the order of the section's facts, and what became of each."""

    section: int
    method: str
    seed: int
    before: list[str]
    after: list[str]
    fates: list[int]


class ExplorerData(TypedDict):
    """What the page holds as JSON."""

    fates: list[str]
    sections: list[ExplorerSection]
    cells: list[ExplorerCell]


@dataclass(frozen=True)
class Explorer:
    """The data with the choices that its filters offer.

    Attributes:
        data: Texts are printable and cut, but not escaped.
        methods: Labels of the methods in it.
        buckets: The largest number of buckets of any section.
        left_out: How many cells did not fit.
    """

    data: ExplorerData
    methods: list[str]
    buckets: int
    left_out: int


def explorer_of(board: Leaderboard) -> Explorer | None:
    """Return the explorer of a board; None where nothing was answered."""
    sections = [section for section in board.sections if section.done]
    if not sections:
        return None
    cells, left_out = _within_room(sections)
    data = ExplorerData(
        fates=[fate.name for fate in FATES],
        sections=[_section(section) for section in sections],
        cells=[_cell(number, row, cell) for number, row, cell in cells],
    )
    return Explorer(
        data=data,
        methods=sorted({cell["method"] for cell in data["cells"]}),
        buckets=max(len(section["buckets"]) for section in data["sections"]),
        left_out=left_out,
    )


def _within_room(sections: list[Section]) -> tuple[list[tuple[int, Row, Cell]], int]:
    """Return the cells that fit, first seeds of all methods before their second ones."""
    ordered = sorted(_cells(sections), key=lambda found: found[0])
    sizes = np.cumsum([len(cell.rows) for _, _, _, cell in ordered])
    fit = int(np.searchsorted(sizes, MOST_ANSWERS, side="right"))
    return [found[1:] for found in ordered[:fit]], len(ordered) - fit


def _cells(sections: list[Section]) -> Iterator[tuple[int, int, Row, Cell]]:
    """Yield every cell: which of its row's it is, the number of its section, its row, itself."""
    for number, section in enumerate(sections):
        for row in section.done:
            yield from ((place, number, row, cell) for place, cell in enumerate(row.cells))


def _section(section: Section) -> ExplorerSection:
    rows = section.done[0].cells[0].rows
    distances = rows["distance_before"].to_numpy(dtype=np.float64)
    buckets = quantile_buckets(distances)
    places = bucket_of(distances, edges_of(buckets)).tolist() if buckets else []
    facts = zip(rows.to_dict("records"), places, strict=True)
    return ExplorerSection(
        title=_text(section.title),
        buckets=[bucket.range for bucket in buckets],
        facts=[
            ExplorerFact(
                id=_text(row["fact_id"]),
                question=_text(row["question"]),
                target=_text(row["target"]),
                old=_text(" | ".join(row["old_answers"])),
                bucket=place,
            )
            for row, place in facts
        ],
    )


def _cell(section: int, row: Row, cell: Cell) -> ExplorerCell:
    return ExplorerCell(
        section=section,
        method=_text(row.label),
        seed=cell.record.spec.seed,
        before=_texts(cell.rows["answer_before"]),
        after=_texts(cell.rows["answer_after"]),
        fates=fate_numbers(cell.rows).tolist(),
    )


def _texts(column: pd.Series[str]) -> list[str]:
    return [_text(value) for value in column]


def _text(text: str) -> str:
    return printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
