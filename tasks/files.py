"""A person's own facts file as a task.

Fields of a row, the same in .jsonl, .json (a list of objects) and .csv (with a header):

| field | what |
|---|---|
| `question` | required |
| `answer` or `answers` | required; one text or a list, the first is trained, each is correct |
| `paraphrases` | other wordings of the question, never trained |
| `neighbours` | untrained questions: a list of `{"question": ..., "answer": ...}` |
| `id` | unique; without it one is derived from question and answers |
| `relation`, `subject` | what is asked, and of what; facts of one subject stay together |

In a .csv file `answers` and `paraphrases` are JSON lists or separated by `|`, and `neighbours`
is JSON. Other fields are left alone, with a warning; one that looks like a misspelt name is an
error.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tasks.base import DataAccess, KnowledgeTask, Shares
from tasks.errors import UsageError
from tasks.fact import Fact, Neighbour
from tasks.rows import Row, read_rows

FIELDS = ("question", "answer", "answers", "paraphrases", "neighbours", "id", "relation", "subject")

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
            _LOG.warning("%s: not used: %s", self.path, ", ".join(unused))
        return facts


def fact_of_row(row: Row) -> Fact:
    """Turn one row into a fact, or raise the `UsageError` that names its wrong field."""
    question = _required_text(row, "question")
    answers = _answers(row)
    return Fact(
        id=_text(row, "id") or _derived_id(question, answers),
        question=question,
        answers=answers,
        paraphrases=_texts(row, "paraphrases"),
        neighbours=_neighbours(row),
        relation=_text(row, "relation"),
        subject=_text(row, "subject"),
    )


def _derived_id(question: str, answers: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps([question, *answers]).encode()).hexdigest()[:16]


def _required_text(row: Row, field: str) -> str:
    if field not in row.values:
        raise _missing(row, field)
    if not (text := _text(row, field)):
        raise row.error("is empty", field)
    return text


def _missing(row: Row, field: str) -> UsageError:
    return row.error(f"is missing; there is {', '.join(row.values) or 'nothing'}", field)


def _text(row: Row, field: str) -> str:
    value = row.values.get(field)
    return "" if value is None else _scalar(row, field, value)


def _scalar(row: Row, field: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise row.error(f"expected text, found {json.dumps(value)[:40]}", field)
    return str(value).strip()


def _answers(row: Row) -> tuple[str, ...]:
    given = [field for field in ("answer", "answers") if field in row.values]
    if not given:
        raise _missing(row, "answer")
    answers = tuple(dict.fromkeys(text for field in given for text in _texts(row, field)))
    if not answers:
        raise row.error("is empty", given[0])
    return answers


def _texts(row: Row, field: str) -> tuple[str, ...]:
    """Return a field that holds one text or a list of them; blank cells of a table are none."""
    value = row.values.get(field)
    if value is None or value == "" or (row.written_as_text and not value.strip()):
        return ()
    if row.written_as_text and field != "answer":
        value = _split(row, field, value)
    values = value if isinstance(value, list) else [value]
    texts = tuple(_scalar(row, field, item) for item in values)
    if not all(texts) or (not texts and field in ("answer", "answers")):
        raise row.error("is empty" if len(texts) < 2 else "holds an empty text", field)
    return texts


def _split(row: Row, field: str, text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        return _json_list(row, field, text)
    return [piece for piece in text.split("|") if piece.strip()]


def _json_list(row: Row, field: str, text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise row.error(f"invalid JSON: {error.msg} at column {error.colno}", field) from error
    if not isinstance(value, list):
        raise row.error(f"expected a JSON list, found {text[:40]}", field)
    return value


def _neighbours(row: Row) -> tuple[Neighbour, ...]:
    value = row.values.get("neighbours")
    if value is None or value == "":
        return ()
    items = _json_list(row, "neighbours", value) if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise row.error('expected a list of {"question": ..., "answer": ...}', "neighbours")
    return tuple(
        _neighbour(Row(row.path, f"{row.place}, neighbour {number}", item))
        for number, item in enumerate(items, start=1)
    )


def _neighbour(row: Row) -> Neighbour:
    return Neighbour(_required_text(row, "question"), _answers(row))


def _unused_fields(rows: Sequence[Row]) -> list[str]:
    """Return the fields that mean nothing here; a misspelt name is an error."""
    found = list(dict.fromkeys(field for row in rows for field in row.values))
    unused = [field for field in found if field not in FIELDS]
    for field in unused:
        # A near name that is there as well is no misspelling: `question_id` beside `question`.
        near = difflib.get_close_matches(field, [f for f in FIELDS if f not in found], cutoff=0.75)
        if near and not (near[0] in ("answer", "answers") and {"answer", "answers"} & set(found)):
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
