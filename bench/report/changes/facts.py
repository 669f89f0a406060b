"""The facts of paired cells, in one order; and those of which the answer changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.report.leaderboard.board import Cell
from bench.report.leaderboard.fact_table import FactTable, Numbers
from bench.report.leaderboard.read_cells import readable_cells
from bench.store.records import CellRecord
from bench.store.store import DamagedRowsError, ResultsStore

TEXTS = ("fact_id", "question", "target", "answer_after", "correct_after")
"""What is read of every cell besides its numbers."""

FactKey = tuple[str, str, str]
"""What makes a fact the same one: id, question, target."""


@dataclass(frozen=True)
class ReadCell:
    """A cell of one folder.

    Attributes:
        cell: Its record and its numbers.
        texts: The columns `TEXTS`, in the order of the facts' ids.
    """

    cell: Cell
    texts: Mapping[str, Sequence[Any]]

    @property
    def facts(self) -> list[FactKey]:
        """The facts that it was asked."""
        return list(zip(*(self.texts[name] for name in TEXTS[:3]), strict=True))


@dataclass(frozen=True, slots=True)
class ChangedAnswer:
    """A fact that is answered differently on the trained prompt, or as right only in one folder.

    Attributes:
        label, seed: Its cell.
        fact_id, question, target: The fact.
        answer_a, answer_b: What the trained models say.
        right_a, right_b: Whether these are right.
    """

    label: str
    seed: int
    fact_id: str
    question: str
    target: str
    answer_a: str
    answer_b: str
    right_a: bool | None
    right_b: bool | None


def read_cells(
    store: ResultsStore, records: Sequence[CellRecord]
) -> tuple[dict[str, ReadCell], list[str]]:
    """Read cells by their ids; a damaged one becomes a line.

    Args:
        store: The results folder.
        records: Of the cells that are done.
    """
    cells, problems = readable_cells(store, records)
    found = {}
    for cell in cells:
        try:
            found[cell.record.cell_id] = ReadCell(cell, cell.facts.some(TEXTS))
        except DamagedRowsError as error:
            problems.append(f"cells/{cell.record.cell_id}.json: {error}")
    return found, problems


def on_common_facts(cells: Sequence[ReadCell]) -> list[ReadCell]:
    """Return the cells with those facts alone that all of them have, in one order."""
    orders = [cell.facts for cell in cells]
    if all(facts == orders[0] for facts in orders):
        return list(cells)
    common = set(orders[0]).intersection(*orders)
    return [_only(cell, lambda fact: fact in common) for cell in cells]


def _only(cell: ReadCell, keep: Callable[[FactKey], bool]) -> ReadCell:
    places = np.array([i for i, fact in enumerate(cell.facts) if keep(fact)], dtype=np.intp)
    texts = {name: [values[i] for i in places] for name, values in cell.texts.items()}
    table = cell.cell.facts
    facts = FactTable(table.read, _rows(table.numbers, places))
    return ReadCell(replace(cell.cell, facts=facts), texts)


def _rows(numbers: Numbers, places: NDArray[np.intp]) -> Numbers:
    columns = {name: values[places] for name, values in numbers.columns.items()}
    gaps = frozenset(name for name in numbers.gaps if np.isnan(columns[name]).any())
    return Numbers(numbers.order[places], columns, numbers.knowledge[places], gaps)


def changed_answers(label: str, a: ReadCell, b: ReadCell) -> list[ChangedAnswer]:
    """Return the facts that two cells with the same facts answer differently."""
    found = []
    for i, fact in enumerate(a.facts):
        answers = a.texts["answer_after"][i], b.texts["answer_after"][i]
        right = a.texts["correct_after"][i], b.texts["correct_after"][i]
        if answers[0] != answers[1] or right[0] != right[1]:
            seed = b.cell.record.spec.seed
            found.append(ChangedAnswer(label, seed, *fact, *answers, *right))
    return found
