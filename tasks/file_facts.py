"""The facts of your own file, checked against each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tasks.fact import Fact
from tasks.file_rows import fact_of_row
from tasks.rows import Row, quoted, read_rows


@dataclass
class FileFacts:
    """The facts of a file in order; no question and no id occurs twice."""

    path: Path
    facts: list[Fact] = field(default_factory=list)
    _questions: set[str] = field(default_factory=set)
    _ids: set[str] = field(default_factory=set)

    def add(self, row: Row) -> None:
        """Add the fact of a row."""
        fact = fact_of_row(row)
        if fact.question in self._questions:
            first = self._place(_asks(fact.question))
            raise row.error(
                f"{quoted(fact.question)} is also asked in {first}; "
                "keep one row and list further answers in 'answers'",
                "question",
            )
        if fact.id in self._ids:
            first = self._place(lambda other: other.id == fact.id)
            raise row.error(f"{quoted(fact.id)} is also the id of {first}", "id")
        self._questions.add(fact.question)
        self._ids.add(fact.id)
        self.facts.append(fact)

    def check_neighbours(self) -> None:
        """Refuse a neighbour whose question is trained."""
        for index, fact in enumerate(self.facts):
            for neighbour in fact.neighbours:
                if neighbour.question in self._questions:
                    other = self._place(_asks(neighbour.question))
                    raise self._row(index).error(
                        f"{quoted(neighbour.question)} is also the question of {other}; "
                        "a neighbour must stay untrained",
                        "neighbours",
                    )

    def _place(self, wanted: Callable[[Fact], bool]) -> str:
        """Return the place in the file of the first such fact."""
        return self._row(next(i for i, fact in enumerate(self.facts) if wanted(fact))).place

    def _row(self, index: int) -> Row:
        """Read the row of a fact again; keeping a million rows just for messages costs too much."""
        return next(islice(read_rows(self.path), index, None))


def _asks(question: str) -> Callable[[Fact], bool]:
    return lambda fact: fact.question == question
