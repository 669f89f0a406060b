"""Example answers before and after training, by what became of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


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


def fates(rows: pd.DataFrame, limit: int = 3) -> list[Fate]:
    """Divide a cell's facts by what became of their answers, with up to `limit` examples each.

    Answers that moved are shown from the farthest movement on, the others in the facts' order.
    """
    before = rows["correct_before"].to_numpy(dtype=bool)
    after = rows["correct_after"].to_numpy(dtype=bool)
    same = (rows["answer_before"] == rows["answer_after"]).to_numpy(dtype=bool)
    moved = ~before & ~after & ~same
    return [
        _fate("learned", "wrong before, right after", rows[~before & after], limit),
        _fate("kept", "right before and after", rows[before & after], limit),
        _fate("lost", "right before, wrong after", rows[before & ~after], limit),
        _fate("moved", "still wrong, with another answer", _farthest(rows[moved]), limit),
        _fate("wrong", "still wrong, with the same answer", rows[~before & ~after & same], limit),
    ]


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
