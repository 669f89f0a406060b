"""Your own examples of a skill: instructions with responses, or conversations.

| written | rows |
|---|---|
| `my.json[as=alpaca]` | `instruction`, `output`, and `input` where there is one |
| `my.jsonl[as=chat]` | `messages`: a list of `{"role": ..., "content": ...}` |

A part of the rows is held out by a hash and asked, or the rows of a second file (`test=other.json`)
are. A response counts if it is right as a whole, or what an extractor finds in it (`extract=NAME`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from tasks.base import DataAccess, KnowledgeTask, Shares
from tasks.conversation import ASSISTANT, SYSTEM, USER, question_of
from tasks.errors import UsageError
from tasks.extraction import extracted
from tasks.fact import Fact, FactPart
from tasks.form import Form
from tasks.formats.record import text
from tasks.instruction_forms import ALPACA, CHAT, INPUT
from tasks.notation import canonical
from tasks.row import Row
from tasks.rows import read_rows
from tasks.scoring import normalise
from tasks.values import is_missing

_LOG = logging.getLogger(__name__)

_HELD_OUT = "test/"
"""Begins the ids of what a second file holds out."""


@dataclass(frozen=True)
class SkillFile(KnowledgeTask):
    """Base class of examples in your own file.

    Attributes:
        path: The file, as it was written.
        extract: The extractor that finds what of a response counts; empty: all of it.
        test: A file of the same form whose rows are asked; empty: a fifth of this one's.
        kind: What stands for the form in the task's name.
    """

    source: ClassVar[str] = "a file of examples"
    licence: ClassVar[str] = "its owner's"
    held_out: ClassVar[bool] = True
    limit: ClassVar[int] = 1000
    epochs: ClassVar[int] = 3
    asked_limit: ClassVar[int] = 100
    kind: ClassVar[str]

    path: str
    extract: str = ""
    test: str = ""

    def __post_init__(self) -> None:
        if self.extract:
            extracted(self.extract, "")
        if self.test and not Path(self.test).expanduser().is_file():
            raise UsageError(f"'{self.path}[test={self.test}]': no file '{self.test}'")

    @property
    def name(self) -> str:
        """The path with its parameters, as it is written on the command line."""
        written = canonical(self, "", defaults=False, without={"path"})[1:-1]
        return f"{self.path}[as={self.kind}{f',{written}' if written else ''}]"

    @property
    def family(self) -> str:
        """The same for every file, so that moving it does not change how rows are divided."""
        return "file"

    @property
    def shares(self) -> Shares:
        """A fifth is asked, and a few rows are shown as demonstrations."""
        return Shares(train=0.75, calibration=0.05, forget=0.0, test=0.2)

    def part_of(self, fact: Fact) -> FactPart:
        """Return the part of a row: by a hash of its question, unless a second file is asked."""
        if not self.test:
            return super().part_of(fact)
        return FactPart.TEST if fact.id.startswith(_HELD_OUT) else FactPart.TRAIN

    @abstractmethod
    def example(self, row: Row) -> tuple[str, str]:
        """Return the question and the response in a row.

        Raises:
            UsageError: There is none; the line names file, row and field.
        """

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Read and check the whole file, and the second one if there is one.

        Raises:
            UsageError: Something is wrong; one line names file, row and field.
        """
        rows = self._facts(self.path)
        if self.test:
            return self._with_test(rows)
        parts = {self.part_of(fact) for fact in rows.values()}
        for part, does in ((FactPart.TRAIN, "train"), (FactPart.TEST, "hold out")):
            if part not in parts:
                many = "1 row leaves" if len(rows) == 1 else f"{len(rows)} rows leave"
                raise UsageError(
                    f"{self.path}: {many} none to {does}; give more, or name "
                    f"a second file to ask: {self.path}[as={self.kind},test=FILE]"
                )
        return tuple(rows.values())

    def _with_test(self, rows: dict[str, Fact]) -> tuple[Fact, ...]:
        asked = self._facts(self.test)
        trained = [fact for question, fact in rows.items() if question not in asked]
        if shared := len(rows) - len(trained):
            _LOG.warning("%s: left out %d rows that %s asks", self.path, shared, self.test)
        if not trained:
            raise UsageError(f"{self.path}: {self.test} asks all of its rows, so none is trained")
        held_out = (replace(fact, id=f"{_HELD_OUT}{fact.id}") for fact in asked.values())
        return (*trained, *held_out)

    def _facts(self, written: str) -> dict[str, Fact]:
        """Return the rows of a file by their question in normal form; repeated ones come once."""
        path, found, rows = Path(written).expanduser(), dict[str, Fact](), 0
        for row in self._rows(path):
            rows += 1
            question, response = self.example(row)
            fact = self._fact(question, response)
            if not fact.accepts(response):
                raise row.error(f"extract={self.extract} finds nothing in the response")
            found.setdefault(normalise(question), fact)
        if not found:
            raise UsageError(f"{written}: contains no examples")
        if repeated := rows - len(found):
            _LOG.warning("%s: left out %d rows that repeat a question", written, repeated)
        return found

    def _rows(self, path: Path) -> Iterator[Row]:
        return read_rows(path, numbers_as_written=True)

    def _fact(self, question: str, response: str) -> Fact:
        content = json.dumps([question, response]).encode()
        return Fact(
            id=hashlib.sha256(content).hexdigest()[:16],
            question=question,
            answers=(response,),
            # Rows that differ in case or spaces alone must not be trained and asked.
            subject=hashlib.sha256(normalise(question).encode()).hexdigest()[:16],
            extract=self.extract,
        )


@dataclass(frozen=True)
class AlpacaFile(SkillFile):
    """Instructions with an optional input, and the output to learn."""

    form: ClassVar[Form] = ALPACA
    kind: ClassVar[str] = "alpaca"

    def example(self, row: Row) -> tuple[str, str]:
        """Return the instruction, with its input if there is one, and the output."""
        given = "" if is_missing(row, row.values.get("input")) else text(row, "input")
        instruction = text(row, "instruction")
        return f"{instruction}{INPUT}{given}" if given else instruction, text(row, "output")


@dataclass(frozen=True)
class ChatFile(SkillFile):
    """Conversations whose last turn, the assistant's, is to be learned."""

    form: ClassVar[Form] = CHAT
    kind: ClassVar[str] = "chat"

    def example(self, row: Row) -> tuple[str, str]:
        """Return all turns but the last as the question, and the last as the response."""
        if "messages" not in row.values:
            raise row.missing("messages")
        messages = row.values["messages"]
        if isinstance(messages, str) and row.written_as_text:
            messages = _json(messages)
        if not isinstance(messages, list) or not messages:
            raise row.error('expected a list of {"role": ..., "content": ...}', "messages")
        turns = [_turn(row, place, said) for place, said in enumerate(messages)]
        first = 1 if turns[0]["role"] == SYSTEM else 0
        for place, turn in enumerate(turns[first:], start=first):
            wanted = (USER, ASSISTANT)[(place - first) % 2]
            if turn["role"] != wanted:
                raise row.error(
                    f"expected '{wanted}', not '{turn['role']}': after an optional system turn, "
                    "user and assistant take turns",
                    f"messages[{place}].role",
                )
        if turns[-1]["role"] != ASSISTANT or len(turns) == first:
            raise row.error("the last turn must be the assistant's, which is learned", "messages")
        return question_of(turns[:-1]), turns[-1]["content"]


KINDS: dict[str, type[SkillFile]] = {kind.kind: kind for kind in (AlpacaFile, ChatFile)}
"""The forms of files of examples, as they are written after `as=`."""


def _turn(row: Row, place: int, said: object) -> dict[str, str]:
    field = f"messages[{place}]"
    if not isinstance(said, dict):
        raise row.error('expected {"role": ..., "content": ...}', field)
    inner = Row(row.path, row.place, {f"{field}.{name}": value for name, value in said.items()})
    role, content = (text(inner, f"{field}.{name}") for name in ("role", "content"))
    if role not in (SYSTEM, USER, ASSISTANT):
        raise row.error(f"'{role}' is not system, user or assistant", f"{field}.role")
    return {"role": role, "content": content}


def _json(written: str) -> object:
    try:
        return json.loads(written)
    except (ValueError, RecursionError):
        return None
