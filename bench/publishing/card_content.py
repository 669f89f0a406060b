"""What a model card is made of: an adapter, its base, what it was taught, its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.publishing.bases import BaseName, base_name
from bench.publishing.lesson import Lesson, lesson_of
from bench.publishing.measures import Measured, measure, stored_cells
from bench.publishing.saved import SavedAdapter
from bench.report.leaderboard.board import Cell
from bench.store.records import CellRecord


@dataclass(frozen=True)
class CardContent:
    """What a card is made of.

    Attributes:
        saved: The adapter.
        base: Its base.
        lesson: What it was taught.
        found: Its numbers.
        question, answer: One of its facts; empty if it has none.
        where: What others load it from: a folder, or its id on the hub.
    """

    saved: SavedAdapter
    base: BaseName
    lesson: Lesson
    found: Measured
    question: str
    answer: str
    where: str

    @property
    def title(self) -> str:
        """The adapter in a few words."""
        spec = self.saved.spec
        return f"{spec.method} for {self.base.name} on {self.lesson.name}"

    @property
    def merged(self) -> bool:
        """Whether it is a whole model."""
        return self.saved.holds_all_weights


def card_content(
    saved: SavedAdapter,
    own: Cell,
    cells: Sequence[Cell],
    where: str,
    repository: str = "",
) -> CardContent:
    """Collect what the card of an adapter says.

    Args:
        saved: The adapter.
        own: Its cell.
        cells: The cells of its setting by seed, its own among them.
        where: What others load it from.
        repository: The id of the base on the hub, where the record does not tell it.
    """
    facts = own.facts.some(("question", "target"))
    question, answer = next(zip(facts["question"], facts["target"], strict=True), ("", ""))
    base, lesson = base_name(saved.spec, repository), lesson_of(saved.spec)
    found = measure(own, cells)
    return CardContent(saved, base, lesson, found, str(question), str(answer), where)


def stored_content(
    results: Path,
    saved: SavedAdapter,
    where: str = "",
    repository: str = "",
    records: Sequence[CellRecord] | None = None,
) -> CardContent:
    """Collect it from a results folder, over all seeds that are there.

    Args:
        results: The results folder.
        saved: The adapter.
        where: What others load it from; without it, its place in the results folder.
        repository: The id of the base on the hub, where the record does not tell it.
        records: All of the folder, where they have been read already.

    Raises:
        UsageError: Fact rows are damaged.
    """
    cells = stored_cells(results, saved.record, records)
    [own] = [cell for cell in cells if cell.record.cell_id == saved.record.cell_id]
    return card_content(
        saved, own, cells, where or Path(saved.record.adapter_path).as_posix(), repository
    )
