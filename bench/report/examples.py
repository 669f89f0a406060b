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
    numbers = fate_numbers(rows)
    found = []
    for number, kind in enumerate(FATES):
        chosen = rows[numbers == number]
        shown = _farthest(chosen) if kind.name == "moved" else chosen
        found.append(_fate(kind.name, kind.meaning, shown, limit))
    return found


def _farthest(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.iloc[np.argsort(-rows["movement"].to_numpy(dtype=np.float64), kind="stable")]


def _fate(name: str, meaning: str, rows: pd.DataFrame, limit: int) -> Fate:
    shown = rows.head(limit).to_dict("records")
    examples = (
        Example(
            question=row["question"],
            target=row["target"],
            old=tuple(row["old_answers"]),
            before=row["answer_before"],
            after=row["answer_after"],
            distance_before=row["distance_before"],
            distance_after=row["distance_after"],
        )
        for row in shown
    )
    return Fate(name, meaning, len(rows), tuple(examples))
