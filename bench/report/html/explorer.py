"""The data behind the page's search of facts: every answer before and after, as one small JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import TypedDict

import numpy as np

from bench.redaction import safe_text
from bench.report.html.answer_changes import (
    CHANGE_COLUMNS,
    CHANGES,
    CONFUSED,
    CONTEXT_COLUMNS,
    SAME,
    TRAINED,
    change_numbers,
    confused_in,
    other_contexts,
)
from bench.report.leaderboard.board import Cell, Leaderboard, Row, Section
from bench.report.leaderboard.distance_buckets import bucket_of, edges_of, quantile_buckets

MOST_ANSWERS = 20_000
"""As many as keep the page below a few MB; the page says how many cells are left out."""

_LONGEST = 300

_Placed = tuple[int, Row, Cell]
"""A cell with the number of its section, and its row."""


class ExplorerFact(TypedDict):
    """A fact, with the number of its bucket from 0 and the texts as they are shown.

    `distance` is that of the base's answer with demonstrations; None where it has none.
    """

    id: str
    question: str
    target: str
    old: str
    bucket: int
    distance: float | None


class ExplorerSection(TypedDict):
    """A section's facts, and their ranges of distance by bucket."""

    title: str
    buckets: list[str]
    facts: list[ExplorerFact]


class ExplorerCell(TypedDict):
    """A cell's answers in the order of the section's facts, and how each changed.

    Answers in contexts that were not trained are None where they are the same as on the trained
    prompt, which keeps the page small. Bit 0 of `confused` says that the answer on the trained
    prompt is another fact's target, bit n the same of the nth context of `elsewhere`.
    """

    section: int
    method: str
    seed: int
    before: list[str]
    after: list[str]
    elsewhere: dict[str, list[str | None]]
    confused: list[int]
    epochs: list[int | None]
    changes: list[int]


class ExplorerData(TypedDict):
    """What the page holds as JSON."""

    changes: list[str]
    same: str
    confused: str
    sections: list[ExplorerSection]
    cells: list[ExplorerCell]


@dataclass(frozen=True)
class Explorer:
    """The data, and what it leaves out.

    Attributes:
        data: Texts are printable and cut, but not escaped.
        left_out: How many cells did not fit.
    """

    data: ExplorerData
    left_out: int


def explorer_of(board: Leaderboard) -> Explorer | None:
    """Return the explorer of a board; None where nothing was answered."""
    found = _cells(board.sections)
    if not found:
        return None
    # The facts of cells that do not fit need not be read.
    answers = accumulate(len(cell.facts.numbers.order) for _, _, cell in found)
    cells = found[: sum(1 for _ in takewhile(lambda total: total <= MOST_ANSWERS, answers))]
    numbers = sorted({number for number, _, _ in cells})
    data = ExplorerData(
        changes=list(CHANGES),
        same=SAME,
        confused=CONFUSED,
        sections=[_section(board.sections[number]) for number in numbers],
        cells=[_cell(numbers.index(number), row, cell) for number, row, cell in cells],
    )
    return Explorer(data, len(found) - len(cells))


def _cells(sections: Sequence[Section]) -> list[_Placed]:
    """Return all cells: first seeds before second ones, and of each the best of every section."""
    found = [
        ((seed, rank, number), (number, row, cell))
        for number, section in enumerate(sections)
        for rank, row in enumerate(section.done)
        for seed, cell in enumerate(row.cells)
    ]
    return [placed for _, placed in sorted(found, key=lambda entry: entry[0])]


def _section(section: Section) -> ExplorerSection:
    told = ("fact_id", "question", "target", "old_answers", "distance_before")
    rows = section.done[0].cells[0].facts.some(told)
    distances = np.array(rows["distance_before"], dtype=np.float64)
    buckets = quantile_buckets(distances)
    places = bucket_of(distances, edges_of(buckets)).tolist() if buckets else []
    shown = [round(float(d), 3) if np.isfinite(d) else None for d in distances]
    facts = zip(*(rows[name] for name in told[:4]), places, shown, strict=True)
    return ExplorerSection(
        title=_text(section.title),
        buckets=[bucket.range for bucket in buckets],
        facts=[
            ExplorerFact(
                id=_text(fact_id),
                question=_text(question),
                target=_text(target),
                old=_text(" | ".join(old)),
                bucket=place,
                distance=distance,
            )
            for fact_id, question, target, old, place, distance in facts
        ],
    )


def _cell(section: int, row: Row, cell: Cell) -> ExplorerCell:
    rows = cell.facts.some((*CHANGE_COLUMNS, *CONTEXT_COLUMNS, "epochs_to_learn"))
    trained = cell.record.spec.train_prompt.asked
    others = other_contexts(rows, trained)
    bits = {name: 1 << place for place, name in enumerate((TRAINED, *others))}
    answers = rows["answer_after"]
    return ExplorerCell(
        section=section,
        method=_text(row.label),
        seed=cell.record.spec.seed,
        before=[_text(answer) for answer in rows["answer_before"]],
        after=[_text(answer) for answer in answers],
        elsewhere={
            name: [None if a == b else _text(a) for a, b in zip(said, answers, strict=True)]
            for name, said in others.items()
        },
        confused=[
            sum(bits[name] for name in confused_in(rows, trained, place))
            for place in range(len(answers))
        ],
        epochs=[None if found is None else int(found) for found in rows["epochs_to_learn"]],
        changes=change_numbers(rows).tolist(),
    )


def _text(text: str) -> str:
    safe = safe_text(text)  # before it is cut, or half a token would not be known as one
    return safe if len(safe) <= _LONGEST else f"{safe[:_LONGEST]}…"
