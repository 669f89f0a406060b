"""Example answers before and after training, by what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray


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
class Fate:
    """What became of some facts: how many, and a few of them."""

    name: str
    meaning: str
    count: int
    examples: tuple[Example, ...]


_SHOWN = [
    *("question", "target", "old_answers", "answer_before", "answer_after"),
    *("distance_before", "distance_after"),
]


class FateKind(NamedTuple):
    """A name for what may become of a fact, and what it means."""

    name: str
    meaning: str


FATES = (
    FateKind("learned", "wrong before, right after"),
    FateKind("kept", "right before and after"),
    FateKind("lost", "right before, wrong after"),
    FateKind("moved", "still wrong, with another answer"),
    FateKind("wrong", "still wrong, with the same answer"),
)


FATED_BY = ("correct_before", "correct_after", "answer_before", "answer_after")
"""The columns that a fact's fate depends on."""

EXAMPLE_COLUMNS = tuple(dict.fromkeys((*FATED_BY, *_SHOWN, "movement")))
"""The columns that `fates` reads."""


def fate_numbers(rows: pd.DataFrame) -> NDArray[np.intp]:
    """Return for each of a cell's facts its place in `FATES`, `[facts]`."""
    before = rows["correct_before"].to_numpy(dtype=bool)
    after = rows["correct_after"].to_numpy(dtype=bool)
    same = (rows["answer_before"] == rows["answer_after"]).to_numpy(dtype=bool)
    right = [~before & after, before & after, before & ~after]
    return np.select(right, [0, 1, 2], np.where(same, 4, 3))


def fates(rows: pd.DataFrame, limit: int = 3) -> list[Fate]:
    """Divide a cell's facts by what became of their answers, with up to `limit` examples each.

    Answers that moved are shown from the farthest movement on, the others in the facts' order.
    """
    numbers, shown = fate_numbers(rows), rows[_SHOWN]
    movement = rows["movement"].to_numpy(dtype=np.float64)
    found = []
    for number, kind in enumerate(FATES):
        places = np.flatnonzero(numbers == number)
        if kind.name == "moved":
            places = places[np.argsort(-movement[places], kind="stable")]
        examples = _examples(shown.iloc[places[:limit]])
        found.append(Fate(kind.name, kind.meaning, len(places), examples))
    return found


def _examples(rows: pd.DataFrame) -> tuple[Example, ...]:
    return tuple(
        Example(
            question=row["question"],
            target=row["target"],
            old=tuple(row["old_answers"]),
            before=row["answer_before"],
            after=row["answer_after"],
            distance_before=row["distance_before"],
            distance_after=row["distance_after"],
        )
        for row in rows.to_dict("records")
    )
