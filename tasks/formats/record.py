"""What the published formats have in common: records, their fields, and records that are skipped.

A format turns each of its records into rows with the fields of an own facts file, which
`tasks.file_rows` describes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from tasks.prompt import STOP
from tasks.row import Row
from tasks.scoring import exact_match
from tasks.values import is_missing, no_value, text_of

LONGEST = 600
"""Most bytes of an answer. Published answers may be essays, which no model gives back word by word;
600 bytes are about 150 tokens of English."""


class SkippedError(Exception):
    """A record has no fact that could be trained; the text says why."""


class Format(ABC):
    """One published format.

    Attributes:
        name: The name under which people know it.
    """

    name: ClassVar[str]

    @abstractmethod
    def fits(self, values: Mapping[str, Any]) -> bool:
        """Return whether a record with these fields is of this format."""

    @abstractmethod
    def fact(self, record: Row) -> dict[str, Any]:
        """Return the fields of the record's fact, by the names of an own facts file.

        Raises:
            SkippedError: The record holds no fact that could be trained.
            UsageError: A field is missing or not what the format says.
        """

    def records(self, row: Row) -> Iterator[Row]:
        """Return the records in a row of the file: usually one, the row itself."""
        yield row

    def group(self, record: Row) -> str:
        """Return what the record's fact belongs to, see `Fact.group`; usually nothing."""
        return ""


def text(record: Row, *path: str) -> str:
    """Return the text at a field, or at a field within fields.

    Args:
        record: The record.
        *path: The names of the fields, from the outside in.

    Raises:
        UsageError: There is none.
    """
    value = field(record, *path)
    name = ".".join(path)
    if is_missing(record, value):
        raise record.error(no_value(value), name)
    return text_of(record, name, value)


def field(record: Row, *path: str) -> Any:
    """Return the value at a field within fields; raise `UsageError` if there is no such field."""
    value: Any = record.values
    for depth, name in enumerate(path):
        if not isinstance(value, Mapping):
            raise record.error("expected an object with named fields", ".".join(path[:depth]))
        if name not in value:
            raise replace(record, values=value).missing(".".join(path[: depth + 1]))
        value = value[name]
    return value


def texts(record: Row, name: str, value: Any) -> list[str]:
    """Return the texts in a text or in lists of any depth, each once; missing ones are left out.

    Args:
        record: The record, for error messages.
        name: The field, for error messages.
        value: Its value; None for a field that is not there.
    """
    found: dict[str, None] = {}
    pending = [value]  # no recursion: lists may be nested deeper than Python calls functions
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += reversed(item)
        elif not is_missing(record, item):
            found[text_of(record, name, item)] = None
    return list(found)


def trainable(answers: list[str]) -> list[str]:
    """Return answers that a model can give back, the one to train first.

    Raises:
        SkippedError: There is no answer, or the first cannot be trained.
    """
    if not answers:
        raise SkippedError("without an answer")
    if STOP in answers[0]:
        raise SkippedError("with an answer of several lines")
    if len(answers[0].encode(errors="replace")) > LONGEST:
        raise SkippedError(f"with an answer of more than {LONGEST} bytes")
    return [answer for answer in answers if STOP not in answer]


def replaced(old: list[str], answers: list[str]) -> list[str]:
    """Return the old answers that are not accepted as new ones."""
    return [answer for answer in old if not exact_match(answer, answers) and STOP not in answer]


def asked(question: str, answers: list[str]) -> list[dict[str, Any]]:
    """Return a question with its answers in a list; an empty one if it lacks either."""
    single = [answer for answer in answers if STOP not in answer]
    return [{"question": question, "answers": single}] if question and single else []
