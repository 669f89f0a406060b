"""A person's own facts file as a task.

What a row may hold: `tasks.file_rows`. Other fields are left alone, with a warning; one that looks
like a misspelt name is an error.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tasks.base import DataAccess, KnowledgeTask, Shares
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.file_rows import ANSWER, FIELDS, OLD_ANSWER, fact_of_row
from tasks.rows import Row, read_rows

_LOG = logging.getLogger(__name__)


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
        return _SHARES.get(self.role, super().shares)

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Read and check the whole file.

        Raises:
            UsageError: One line with file, row and field.
        """
        rows = list(read_rows(Path(self.path).expanduser()))
        if not rows:
            raise UsageError(f"{self.path}: holds no facts; write 'question' and 'answer'")
        unused = _unused_fields(rows)
        facts = tuple(fact_of_row(row) for row in rows)
        _check_unique(rows, facts)
        _check_neighbours(rows, facts)
        if unused:
            named = ", ".join(unused).encode("unicode_escape").decode("ascii")
            _LOG.warning("%s: not used: %s", self.path, named[:400])
        return facts


def _unused_fields(rows: Sequence[Row]) -> list[str]:
    """Return the fields that mean nothing here; a misspelt name is an error."""
    found = list(dict.fromkeys(field for row in rows for field in row.values))
    unused = [field for field in found if field not in FIELDS]
    # A near name that is there as well is no misspelling: `question_id` beside `question`.
    there = {name for names in (ANSWER, OLD_ANSWER) if {*names} & {*found} for name in names}
    absent = [name for name in FIELDS if name not in {*found, *there}]
    for field in unused:
        near = difflib.get_close_matches(field, absent, cutoff=0.75)
        # Nor is one that begins with another letter: `gold_answer` is not `old_answer`.
        if near and near[0][0] == field[0].casefold():
            row = next(row for row in rows if field in row.values)
            raise row.error(f"unknown field; did you mean {near[0]}?", field)
    return unused


def _check_unique(rows: Sequence[Row], facts: Sequence[Fact]) -> None:
    ids: dict[str, Row] = {}
    questions: dict[str, Row] = {}
    for row, fact in zip(rows, facts, strict=True):
        if (first := questions.setdefault(fact.question, row)) is not row:
            raise row.error(
                f"'{fact.question}' is asked in {first.place} too; "
                "keep one row and list further answers in 'answers'",
                "question",
            )
        if (first := ids.setdefault(fact.id, row)) is not row:
            raise row.error(f"'{fact.id}' is the id of {first.place} too", "id")


def _check_neighbours(rows: Sequence[Row], facts: Sequence[Fact]) -> None:
    questions = {fact.question: row for row, fact in zip(rows, facts, strict=True)}
    for row, fact in zip(rows, facts, strict=True):
        for neighbour in fact.neighbours:
            if other := questions.get(neighbour.question):
                raise row.error(
                    f"'{neighbour.question}' is also the question of {other.place}; "
                    "a neighbour must stay untrained",
                    "neighbours",
                )
