"""Your own facts file as a task.

`tasks.file_rows` describes the fields of a row. Other fields are ignored with a warning; one that
looks like a misspelt name is an error. `tasks.formats` has the published formats that are read too.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import Path

from tasks.base import DataAccess, KnowledgeTask, Shares
from tasks.consequences import linked
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.file_facts import FileFacts
from tasks.file_rows import ANSWER, FIELDS, OLD_ANSWER, fact_of_row
from tasks.formats.known import format_of
from tasks.formats.published_facts import published_facts
from tasks.rows import Row, read_rows

_LOG = logging.getLogger(__name__)

MOST_UNUSED = 100
"""How many unknown fields are looked at; a row could have a million."""

_LONGEST_NAME = 100
_KNOWN = frozenset(FIELDS)


class FileRole(StrEnum):
    """What a run does with a facts file, which decides how its facts are divided."""

    TRAINED = "trained"
    FORGOTTEN = "forgotten"
    BOTH = "both"


_SHARES = {
    FileRole.TRAINED: Shares(train=1.0, calibration=0.0, forget=0.0),
    FileRole.FORGOTTEN: Shares(train=0.0, calibration=0.5, forget=0.5),
}


@dataclass(frozen=True)
class FileTask(KnowledgeTask):
    """Facts from your own file.

    If a run only trains on the file, or only measures forgetting on it, it uses all of its facts.

    Attributes:
        path: The file, as it was written on the command line; also the task's name.
        role: What the run does with the file.
    """

    source = "a facts file"
    licence = "its owner's"
    revision = ""

    path: str
    role: FileRole = FileRole.TRAINED

    @property
    def name(self) -> str:
        """The path as it was written; the file's name alone would not be unique."""
        return self.path

    @property
    def family(self) -> str:
        """The same for every file, so that moving it does not change how facts are divided."""
        return "file"

    @property
    def shares(self) -> Shares:
        """All facts for what the run does with the file; the usual shares if it does both."""
        return _SHARES[self.role] if self.role in _SHARES else super().shares

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Read and check the whole file.

        Raises:
            UsageError: Something is wrong; one line names file, row and field.
        """
        path, fields = Path(self.path).expanduser(), _Fields()
        rows = read_rows(path, numbers_as_written=True)
        first = next(rows, None)
        if first is not None:
            rows = chain([first], rows)
            if form := format_of(first.values):
                return published_facts(path, form, rows)
            if "messages" in first.values and "question" not in first.values:
                way = f"{self.path}[as=chat]"
                raise first.error(f"conversations are examples of a skill; write {way}", "messages")
            if not {"question", *ANSWER} & first.values.keys():
                refuse_half_labelled(first)
        facts = FileFacts(path)
        for row in rows:
            fields.note(row)
            try:
                facts.add(row, fact_of_row(row))
            except UsageError:
                fields.refuse_misspelt()  # says better why something is missing
                raise
        fields.refuse_misspelt()
        if not facts.facts:
            raise UsageError(
                f"{self.path}: contains no facts; write rows with 'question' and 'answer', or with "
                "'text' and 'label'"
            )
        facts.check_leaks()
        if fields.unused:
            named = ", ".join(fields.unused)[:400].encode("unicode_escape").decode("ascii")
            _LOG.warning("%s: these fields are ignored: %s", self.path, named)
        if (found := linked(facts.facts)).contradicted:
            _LOG.warning(
                "%s: left out: %d multi_hop questions with a hop that is trained with another "
                "answer",
                self.path,
                found.contradicted,
            )
        return found.facts


def refuse_half_labelled(row: Row) -> None:
    """Refuse a row that has only one of the two columns of labelled texts.

    Raises:
        UsageError: It has; the line says which column is missing.
    """
    columns = {"text", "label"}
    there = columns & row.values.keys()
    for name in row.values:
        if name not in columns and (meant := name.casefold()) in columns - there:
            raise row.error(f"unknown field; did you mean {meant}?", name)
    if len(there) == 1:
        [other] = {"text", "label"} - there
        raise row.error(
            f"is missing, which labelled texts have beside '{there.pop()}'; facts have question "
            f"and answer. The row has {', '.join(row.values)}",
            other,
        )


@dataclass
class _Fields:
    """The fields of a file.

    Attributes:
        found: Known fields that occur in it.
        unused: The first unknown fields, each with the row in which it first occurs.
    """

    found: set[str] = field(default_factory=set)
    unused: dict[str, Row] = field(default_factory=dict)

    def note(self, row: Row) -> None:
        """Remember the fields of a row."""
        if row.values.keys() <= self.found:
            return
        self.found |= row.values.keys() & _KNOWN
        for name in row.values:
            if name not in _KNOWN and len(self.unused) < MOST_UNUSED:
                self.unused.setdefault(name, row)

    def refuse_misspelt(self) -> None:
        """Refuse an unknown field whose name resembles that of a missing field."""
        # A near name that is there as well is no misspelling: `question_id` beside `question`.
        there = {name for names in (ANSWER, OLD_ANSWER) if {*names} & self.found for name in names}
        absent = [name for name in FIELDS if name not in self.found | there]
        for name, row in self.unused.items():
            near = difflib.get_close_matches(name[:_LONGEST_NAME], absent, n=1, cutoff=0.75)
            # Nor is one that begins with another letter: `gold_answer` is not `old_answer`.
            if near and near[0][0] == name[0].casefold():
                raise row.error(f"unknown field; did you mean {near[0]}?", name)
