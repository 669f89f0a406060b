"""How training changed the answers: how many were learned, lost or moved, with examples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.report.leaderboard.fact_table import Columns


@dataclass(frozen=True, slots=True)
class Example:
    """One fact and what the model said; texts are raw, to be escaped where they are shown.

    Attributes:
        old: What an update replaces; empty for a fact that is none.
    """

    question: str
    target: str
    old: tuple[str, ...]
    before: str
    after: str
    distance_before: float
    distance_after: float


@dataclass(frozen=True, slots=True)
class AnswerChange:
    """The facts whose answers changed in one way: how many, and a few of them."""

    name: str
    meaning: str
    count: int
    examples: tuple[Example, ...]


CHANGES = {
    "learned": "wrong before, right after",
    "kept": "right before and after",
    "lost": "right before, wrong after",
    "moved": "still wrong, with a different answer",
    "wrong": "still wrong, with the same answer",
}
"""What each kind of change means, by its name."""

CHANGE_COLUMNS = ("correct_before", "correct_after", "answer_before", "answer_after")
"""The columns that `change_numbers` reads."""

EXAMPLE_COLUMNS = (
    *CHANGE_COLUMNS,
    *("question", "target", "old_answers", "distance_before", "distance_after", "movement"),
)
"""The columns that `answer_changes` reads."""


def change_numbers(rows: Columns) -> NDArray[np.intp]:
    """Return for each of a cell's facts the place in `CHANGES` of how it changed, `[facts]`."""
    before, after = (np.array(rows[f"correct_{when}"], dtype=bool) for when in ("before", "after"))
    answers = zip(rows["answer_before"], rows["answer_after"], strict=True)
    same = np.array([one == other for one, other in answers], dtype=bool)
    right = [~before & after, before & after, before & ~after]
    return np.select(right, [0, 1, 2], np.where(same, 4, 3))


def answer_changes(rows: Columns, limit: int = 3) -> list[AnswerChange]:
    """Divide a cell's facts by how their answers changed, with up to `limit` examples each.

    Answers that moved are shown from the farthest movement on, the others in the facts' order.
    """
    numbers = change_numbers(rows)
    movement = np.array(rows["movement"], dtype=np.float64)
    found = []
    for number, (name, meaning) in enumerate(CHANGES.items()):
        places = np.flatnonzero(numbers == number)
        if name == "moved":
            places = places[np.argsort(-movement[places], kind="stable")]
        examples = tuple(_example(rows, int(place)) for place in places[:limit])
        found.append(AnswerChange(name, meaning, len(places), examples))
    return found


def _example(rows: Columns, place: int) -> Example:
    distances = (rows[f"distance_{when}"][place] for when in ("before", "after"))
    before, after = (math.nan if distance is None else distance for distance in distances)
    return Example(
        question=rows["question"][place],
        target=rows["target"][place],
        old=tuple(rows["old_answers"][place]),
        before=rows["answer_before"][place],
        after=rows["answer_after"][place],
        distance_before=before,
        distance_after=after,
    )
