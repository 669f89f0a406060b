"""Turns a row of your own facts file into a fact.

A row has these fields in .jsonl, .json (a list of objects) and .csv (with a header):

| field | meaning |
|---|---|
| `question` | the question (required) |
| `answer` or `answers` | text or list (required); the first is trained, each counts as correct |
| `old_answer` or `old_answers` | answers that were true before, which make the fact an update |
| `paraphrases` | other wordings of the question, never trained |
| `neighbours` | untrained questions: a list of `{"question": ..., "answer": ...}` |
| `id` | a unique name; by default it is derived from question and answers |
| `relation`, `subject` | what is asked, and about what; facts of one subject stay together |

In a .csv file, `answers`, `old_answers` and `paraphrases` are JSON lists or texts separated by `|`,
and `neighbours` is JSON.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tasks.errors import UsageError
from tasks.fact import Fact, Neighbour
from tasks.rows import Row, quoted
from tasks.scoring import exact_match

ANSWER = ("answer", "answers")
OLD_ANSWER = ("old_answer", "old_answers")
"""Both names are accepted, each for one text or a list."""

LONGEST_TEXT = 10_000
"""Most characters in one text; questions and answers are far shorter, a book is a mistake."""

MOST_TEXTS = 1000
"""Most answers, paraphrases or neighbours of one fact; every model is asked each of them."""

FIELDS = (
    "question",
    *ANSWER,
    *OLD_ANSWER,
    "paraphrases",
    "neighbours",
    "id",
    "relation",
    "subject",
)


def fact_of_row(row: Row) -> Fact:
    """Return the fact in a row; raise `UsageError`, naming the field, if there is none."""
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
        old_answers=_old_answers(row, answers),
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
    return row.error(f"is missing; the row has {', '.join(row.values) or 'no fields'}", field)


def _text(row: Row, field: str) -> str:
    value = row.values.get(field)
    return "" if value is None else _scalar(row, field, value)


def _scalar(row: Row, field: str, value: Any) -> str:
    text = value.strip() if isinstance(value, str) else _number(row, field, value)
    if len(text) > LONGEST_TEXT:
        raise row.error(
            f"has {len(text):,} characters; at most {LONGEST_TEXT:,} are allowed", field
        )
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise row.error("contains half of a surrogate pair, which is not a character", field)
    return text


def _number(row: Row, field: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = "a list" if isinstance(value, list) else "an object"
        found = kind if isinstance(value, list | dict) else json.dumps(value)
        raise row.error(f"expected text, found {found}", field)
    return str(value)


def _answers(row: Row) -> tuple[str, ...]:
    given = [field for field in ANSWER if field in row.values]
    if not given:
        raise _missing(row, "answer")
    answers = tuple(dict.fromkeys([text for field in given for text in _texts(row, field)]))
    if not answers:
        raise row.error("is empty", given[0])
    return answers


def _old_answers(row: Row, answers: tuple[str, ...]) -> tuple[str, ...]:
    given = [field for field in OLD_ANSWER if field in row.values]
    if not given:
        return ()
    found = [(field, text) for field in given for text in _texts(row, field)]
    for field, text in found:
        if exact_match(text, answers):
            raise row.error(f"{quoted(text)} is also the new answer; give another one", field)
    return tuple(dict.fromkeys(text for _, text in found))


def _texts(row: Row, field: str) -> tuple[str, ...]:
    """Return the texts of a field that has one text or a list; a blank table cell has none."""
    value = row.values.get(field)
    if value is None or value == "" or (row.written_as_text and not value.strip()):
        return ()
    if row.written_as_text and field not in (ANSWER[0], OLD_ANSWER[0]):
        value = _split(row, field, value)
    values = _few(row, field, value) if isinstance(value, list) else [value]
    texts = tuple([_scalar(row, field, item) for item in values])
    if not all(texts) or (not texts and field in ANSWER):
        raise row.error("is empty" if len(texts) < 2 else "contains an empty text", field)
    return texts


def _few(row: Row, field: str, values: list[Any]) -> list[Any]:
    if len(values) > MOST_TEXTS:
        raise row.error(f"has {len(values):,} entries; at most {MOST_TEXTS:,} are allowed", field)
    return values


def _split(row: Row, field: str, text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        return _json_list(row, field, text)
    return [piece for piece in text.split("|") if piece.strip()]


def _json_list(row: Row, field: str, text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise row.error(f"invalid JSON: {error.msg} at column {error.colno}", field) from error
    except (ValueError, RecursionError) as error:
        raise row.error("a number is too long or the nesting too deep", field) from error
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
    items = _few(row, "neighbours", items)
    return tuple(
        _neighbour(Row(row.path, f"{row.place}, neighbour {number}", item))
        for number, item in enumerate(items, start=1)
    )


def _neighbour(row: Row) -> Neighbour:
    return Neighbour(_required_text(row, "question"), _answers(row))
