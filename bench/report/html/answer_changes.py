"""How training changed the answers: how many were learned, lost or moved, with examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.report.leaderboard.fact_table import Columns
from tasks.context import Context


@dataclass(frozen=True, slots=True)
class Example:
    """One fact and what the model said; texts are raw, to be escaped where they are shown.

    Attributes:
        old: What an update replaces; empty for a fact that is none.
        before: The base's answer, with demonstrations.
        after: The trained model's answer, on the trained prompt.
        elsewhere: Its answers in contexts that training did not see, by their names, where they
            differ from `after`.
        confused: The names of the contexts, and `trained`, in which the wrong answer is the target
            of another trained fact.
        epochs: After how many epochs it was learned; None for a fact that was not trained.
        distance_before, distance_after: Of the answers with demonstrations to the target.
    """

    question: str
    target: str
    old: tuple[str, ...]
    before: str
    after: str
    elsewhere: Mapping[str, str]
    confused: tuple[str, ...]
    epochs: int | None
    distance_before: float
    distance_after: float

    @property
    def after_marked(self) -> str:
        """The answer on the trained prompt, marked if it is another fact's."""
        return marked(self.after, confused=TRAINED in self.confused)

    @property
    def elsewhere_text(self) -> str:
        """The answers in other contexts as one text."""
        said = (
            f"{name}: {marked(answer, confused=name in self.confused)}"
            for name, answer in self.elsewhere.items()
        )
        return "; ".join(said) or SAME


@dataclass(frozen=True, slots=True)
class AnswerChange:
    """The facts whose answers changed in one way: how many, and a few of them."""

    name: str
    meaning: str
    count: int
    examples: tuple[Example, ...]


CHANGES = {
    "learned": "unknown to the base, right on the trained prompt after training",
    "kept": "known to the base, right on the trained prompt after training",
    "lost": "known to the base, wrong on the trained prompt after training",
    "moved": "wrong before and after training, with different answers",
    "wrong": "wrong before and after training, with the same answer",
}
"""What each kind of change means, by its name."""

TRAINED = "trained"
SAME = "the same"
CONFUSED = "another fact's target"

CHANGE_COLUMNS = ("correct_before", "correct_after", "answer_before", "answer_after")
"""The columns that `change_numbers` reads."""

CONTEXT_COLUMNS = tuple(f"{kind}{one}" for one in Context for kind in ("answer_", "confusion."))
"""The columns that `other_contexts` and `confused_in` read, with `answer_after`."""

EXAMPLE_COLUMNS = (
    *CHANGE_COLUMNS,
    *CONTEXT_COLUMNS,
    *("question", "target", "old_answers", "epochs_to_learn"),
    *("distance_before", "distance_few_shot", "movement"),
)
"""The columns that `answer_changes` reads."""


def marked(answer: str, *, confused: bool) -> str:
    """Write an answer, saying so if it is the target of another trained fact."""
    text = answer or "(empty)"
    return f"{text} [{CONFUSED}]" if confused else text


def context_name(context: Context) -> str:
    """Return the name of a context for people."""
    return context.replace("_", "-")


def change_numbers(rows: Columns) -> NDArray[np.intp]:
    """Return for each of a cell's facts the place in `CHANGES` of how it changed, `[facts]`."""
    before, after = (np.array(rows[f"correct_{when}"], dtype=bool) for when in ("before", "after"))
    answers = zip(rows["answer_before"], rows["answer_after"], strict=True)
    same = np.array([one == other for one, other in answers], dtype=bool)
    right = [~before & after, before & after, before & ~after]
    return np.select(right, [0, 1, 2], np.where(same, 4, 3))


def other_contexts(rows: Columns, trained: Context) -> dict[str, list[str]]:
    """Return the answers in contexts that were asked and not trained, by their names, `[facts]`."""
    return {
        context_name(one): [answer or "" for answer in rows[f"answer_{one}"]]
        for one in Context
        if one is not trained and any(answer is not None for answer in rows[f"answer_{one}"])
    }


def confused_in(rows: Columns, trained: Context, place: int) -> tuple[str, ...]:
    """Return the names of contexts in which a fact's answer is another trained fact's target."""
    return tuple(
        TRAINED if one is trained else context_name(one)
        for one in Context
        if rows[f"confusion.{one}"][place]
    )


def answer_changes(
    rows: Columns, trained: Context = Context.PLAIN, limit: int = 3
) -> list[AnswerChange]:
    """Divide a cell's facts by how their answers changed, with up to `limit` examples each.

    Answers that moved are shown from the farthest movement on, the others in the facts' order.

    Args:
        rows: The columns `EXAMPLE_COLUMNS`.
        trained: The context in which reliability was measured.
        limit: How many examples of each change are returned.
    """
    numbers = change_numbers(rows)
    movement = np.array(rows["movement"], dtype=np.float64)
    others = other_contexts(rows, trained)
    found = []
    for number, (name, meaning) in enumerate(CHANGES.items()):
        places = np.flatnonzero(numbers == number)
        if name == "moved":
            places = places[np.argsort(-movement[places], kind="stable")]
        examples = tuple(_example(rows, others, trained, int(place)) for place in places[:limit])
        found.append(AnswerChange(name, meaning, len(places), examples))
    return found


def _example(
    rows: Columns, others: Mapping[str, list[str]], trained: Context, place: int
) -> Example:
    distances = (rows[name][place] for name in ("distance_before", "distance_few_shot"))
    before, after = (math.nan if distance is None else distance for distance in distances)
    answer, epochs = rows["answer_after"][place], rows["epochs_to_learn"][place]
    return Example(
        question=rows["question"][place],
        target=rows["target"][place],
        old=tuple(rows["old_answers"][place]),
        before=rows["answer_before"][place],
        after=answer,
        elsewhere={name: said[place] for name, said in others.items() if said[place] != answer},
        confused=confused_in(rows, trained, place),
        epochs=None if epochs is None else int(epochs),
        distance_before=before,
        distance_after=after,
    )
