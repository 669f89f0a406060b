"""A person's own facts file as a task.

What a row may hold: `tasks.file_rows`. Other fields are left alone, with a warning; one that looks
like a misspelt name is an error.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path

from tasks.base import DataAccess, KnowledgeTask, Shares
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.file_rows import ANSWER, FIELDS, OLD_ANSWER, fact_of_row
from tasks.rows import Row, quoted, read_rows

_LOG = logging.getLogger(__name__)

MOST_UNUSED = 100
"""Fields without a meaning that are looked at: a row may hold a million."""

_LONGEST_NAME = 100
_KNOWN = frozenset(FIELDS)


class FileRole(StrEnum):
    """What a run does with a facts file; decides how its facts are divided."""

    TRAINED = "trained"
    FORGOTTEN = "forgotten"
    BOTH = "both"


_SHARES = {
    FileRole.TRAINED: Shares(train=1.0, calibration=0.0, forget=0.0),
    FileRole.FORGOTTEN: Shares(train=0.0, calibration=0.5, forget=0.5),
}


@dataclass(frozen=True)
class FileTask(KnowledgeTask):
    """Facts from a file. A file that is only trained, or only forgotten, loses none to the rest.

    Attributes:
        path: The file, as the person wrote it; also the task's name.
        role: What the run does with it.
    """

    source = "a facts file"
    licence = "its owner's"
    revision = ""

    path: str
    role: FileRole = FileRole.TRAINED

    @property
    def name(self) -> str:
        """The path as it was written: a stem would not be unique."""
        return self.path

    @property
    def family(self) -> str:
        """The same for every file, so that parts do not hang on where the file lies."""
        return "file"

    @property
    def shares(self) -> Shares:
        """All facts to what the run does with the file; the usual shares when it does both."""
        return _SHARES[self.role] if self.role in _SHARES else super().shares

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Read and check the whole file; of a row only its fact stays in memory.

        Raises:
            UsageError: One line with file, row and field.
        """
        path, fields = Path(self.path).expanduser(), _Fields()
        facts = _FileFacts(path)
        for row in read_rows(path):
            fields.note(row)
            try:
                facts.add(row)
            except UsageError:
                fields.refuse_misspelt()  # says better why something is missing
                raise
        fields.refuse_misspelt()
        if not facts.facts:
            raise UsageError(f"{self.path}: holds no facts; write 'question' and 'answer'")
        facts.check_neighbours()
        if fields.unused:
            named = ", ".join(fields.unused)[:400].encode("unicode_escape").decode("ascii")
            _LOG.warning("%s: not used: %s", self.path, named)
        return tuple(facts.facts)


@dataclass
class _Fields:
    """The fields of a file.

    Attributes:
        found: Those that mean something here.
        unused: Those that do not, the first of them, each with its first row.
    """

    found: set[str] = field(default_factory=set)
    unused: dict[str, Row] = field(default_factory=dict)

    def note(self, row: Row) -> None:
        """Remember what a row holds."""
        if row.values.keys() <= self.found:
            return
        self.found |= row.values.keys() & _KNOWN
        for name in row.values:
            if name not in _KNOWN and len(self.unused) < MOST_UNUSED:
                self.unused.setdefault(name, row)

    def refuse_misspelt(self) -> None:
        """Refuse a field that looks like the name of one that is absent."""
        # A near name that is there as well is no misspelling: `question_id` beside `question`.
        there = {name for names in (ANSWER, OLD_ANSWER) if {*names} & self.found for name in names}
        absent = [name for name in FIELDS if name not in self.found | there]
        for name, row in self.unused.items():
            near = difflib.get_close_matches(name[:_LONGEST_NAME], absent, n=1, cutoff=0.75)
            # Nor is one that begins with another letter: `gold_answer` is not `old_answer`.
            if near and near[0][0] == name[0].casefold():
                raise row.error(f"unknown field; did you mean {near[0]}?", name)


@dataclass
class _FileFacts:
    """The facts of a file in its order, no question and no id twice."""

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
                f"{quoted(fact.question)} is asked in {first} too; "
                "keep one row and list further answers in 'answers'",
                "question",
            )
        if fact.id in self._ids:
            first = self._place(lambda other: other.id == fact.id)
            raise row.error(f"{quoted(fact.id)} is the id of {first} too", "id")
        self._questions.add(fact.question)
        self._ids.add(fact.id)
        self.facts.append(fact)

    def check_neighbours(self) -> None:
        """Refuse a neighbour that is trained."""
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
        """Return where the first such fact stands."""
        return self._row(next(i for i, fact in enumerate(self.facts) if wanted(fact))).place

    def _row(self, index: int) -> Row:
        """Read a fact's row again: a million of them are not kept for the sake of a message."""
        return next(islice(read_rows(self.path), index, None))


def _asks(question: str) -> Callable[[Fact], bool]:
    return lambda fact: fact.question == question
