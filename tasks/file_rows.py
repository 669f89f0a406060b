"""Turns a row of your own facts file into a fact.

A row has these fields in .jsonl, .json (a list of objects) and .csv (with a header):

| field | meaning |
|---|---|
| `question` | the question (required) |
| `answer` or `answers` | text or list (required); the first is trained, each counts as correct |
| `old_answer` or `old_answers` | answers that were true before, which make the fact an update |
| `paraphrases` | other wordings of the question, never trained |
| `neighbours` | untrained questions: a list of `{"question": ..., "answer": ...}` |
| `aliases` | the question under other names of its subject, never trained; same answers |
| `multi_hop` | what follows together with other facts: a list like `neighbours`, see below |
| `inverse` | the question asked backwards: a list of the same form |
| `logical` | what else must be true if the fact is: a list of the same form |
| `id` | a unique name; by default it is derived from question and answers |
| `relation`, `subject` | what is asked, and about what; facts of one subject stay together |

The questions of `multi_hop`, `inverse` and `logical` are never trained and have answers of their
own. With `questions` instead of `question` one question has several wordings, of which any may be
answered, and with `hops`, a list of the same form, it says which single questions are behind it.

In a .csv file, `answers`, `old_answers`, `paraphrases` and `aliases` are JSON lists or texts
separated by `|`, and the lists of questions are JSON; a list of texts in quotes is a list in
`answer` and `old_answer` too.

A missing value (null, NaN, an empty text, `nan` in a table) is an error for a question and for an
answer; in other fields it means that there is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from tasks.fact import Consequence, ConsequenceKind, Fact, Hop, Neighbour
from tasks.prompt import STOP
from tasks.row import Row, quoted
from tasks.scoring import exact_match, normalise
from tasks.values import few, is_missing, json_list, listed, no_value, text_of

ANSWER = ("answer", "answers")
OLD_ANSWER = ("old_answer", "old_answers")
"""Both names are accepted, each for one text or a list."""

FIELDS = (
    "question",
    *ANSWER,
    *OLD_ANSWER,
    "paraphrases",
    "neighbours",
    "aliases",
    "multi_hop",
    "inverse",
    "logical",
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
        paraphrases=distinct(_optional(row, "paraphrases")),
        neighbours=_neighbours(row),
        relation=_text(row, "relation"),
        subject=_text(row, "subject"),
        old_answers=_old_answers(row, answers),
        consequences=_consequences(row, answers),
    )


def distinct(texts: Iterable[str]) -> tuple[str, ...]:
    """Return texts; of several with the same normal form only the first."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(normalise(text), text)
    return tuple(found.values())


def _derived_id(question: str, answers: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps([question, *answers]).encode()).hexdigest()[:16]


def _required_text(row: Row, field: str) -> str:
    if field not in row.values:
        raise row.missing(field)
    value = row.values[field]
    if is_missing(row, value):
        raise row.error(no_value(value), field)
    return text_of(row, field, value)


def _text(row: Row, field: str) -> str:
    value = row.values.get(field)
    return "" if is_missing(row, value) else text_of(row, field, value)


def _answers(row: Row) -> tuple[str, ...]:
    given = [field for field in ANSWER if field in row.values]
    if not given:
        raise row.missing("answer")
    # Of two columns one may be empty, as for facts with one answer beside facts with several.
    filled = [field for field in given if not is_missing(row, row.values[field])]
    if not filled:
        raise row.error(no_value(row.values[given[0]]), given[0])
    for field in filled:
        values = _listed(row, field, row.values[field])
        if not values:
            raise row.error("is empty", field)
        if any(is_missing(row, value) for value in values):
            raise row.error("contains an empty text or a missing value", field)
    return tuple(dict.fromkeys(text for field in filled for text in _said(row, field)))


def _old_answers(row: Row, answers: tuple[str, ...]) -> tuple[str, ...]:
    found = [(field, text) for field in OLD_ANSWER for text in _said(row, field)]
    for field, text in found:
        if exact_match(text, answers):
            raise row.error(f"{quoted(text)} is also the new answer; give another one", field)
    return tuple(dict.fromkeys(text for _, text in found))


def _said(row: Row, field: str) -> tuple[str, ...]:
    """Return texts that a model can answer, which are of one line."""
    texts = _optional(row, field)
    for text in texts:
        if STOP in text:
            raise row.error(
                f"{quoted(text)} has several lines, but an answer ends with its first line; "
                "write it in one",
                field,
            )
    return texts


def _optional(row: Row, field: str) -> tuple[str, ...]:
    """Return the texts of a field that has one text or a list; missing ones are left out."""
    if is_missing(row, row.values.get(field)):
        return ()
    values = _listed(row, field, row.values[field])
    return tuple([text_of(row, field, value) for value in values if not is_missing(row, value)])


def _listed(row: Row, field: str, value: Any) -> list[Any]:
    """Return the values of a field that has one text or a list, which may be written as text."""
    if isinstance(value, list):
        return few(row, field, value)
    if not isinstance(value, str):
        return [value]
    if (texts := listed(value)) is not None:
        return few(row, field, texts)
    if not row.written_as_text:
        return [value]
    if field in (ANSWER[0], OLD_ANSWER[0]):
        return [_one_text(row, field, value)]
    if value.lstrip().startswith("["):
        return few(row, field, json_list(row, field, value))
    return few(row, field, [piece for piece in value.split("|") if piece.strip()])


def _one_text(row: Row, field: str, text: str) -> str:
    """Return the text of a cell that is not a list; raise `UsageError` if it looks like one."""
    try:
        is_list = isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        is_list = text.lstrip().startswith(("['", '["'))
    if is_list:
        raise row.error(
            f"{quoted(text)} looks like a list; put each answer in quotes, separated by commas, "
            'as in ["one", "two"]; a single answer in brackets is written ["[1, 2]"]',
            field,
        )
    return text


def _neighbours(row: Row) -> tuple[Neighbour, ...]:
    return tuple(
        Neighbour(_required_text(inside, "question"), _answers(inside))
        for inside in _objects(row, "neighbours", "neighbour")
    )


def _consequences(row: Row, answers: tuple[str, ...]) -> tuple[Consequence, ...]:
    """Return what follows from the fact, in the order of the kinds."""
    aliases = distinct(_optional(row, "aliases"))
    return (
        *_asked_of(row, "multi_hop", ConsequenceKind.MULTI_HOP),
        *(Consequence(ConsequenceKind.ALIAS, (text,), answers) for text in aliases),
        *_asked_of(row, "inverse", ConsequenceKind.INVERSE),
        *_asked_of(row, "logical", ConsequenceKind.LOGICAL),
    )


def _asked_of(row: Row, field: str, kind: ConsequenceKind) -> Iterator[Consequence]:
    """Yield questions with answers of their own, each in one wording or several."""
    for inside in _objects(row, field, f"{field} question"):
        phrasings = distinct(_optional(inside, "questions"))
        if "question" in inside.values or not phrasings:
            phrasings = distinct((_required_text(inside, "question"), *phrasings))
        hops = tuple(
            Hop(_required_text(hop, "question"), _answers(hop))
            for hop in _objects(inside, "hops", "hop")
        )
        yield Consequence(kind, phrasings, _answers(inside), hops)


def _objects(row: Row, field: str, what: str) -> Iterator[Row]:
    """Yield the objects in a field that has a list of them, each as a row with its own place."""
    value = row.values.get(field)
    if is_missing(row, value):
        return
    # A list may be written as text; any other text is none, whatever JSON says of it.
    items = value
    if isinstance(value, str) and value.lstrip().startswith("["):
        items = json_list(row, field, value)
    if isinstance(items, list):
        items = [item for item in items if not is_missing(row, item)]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        kind = "JSON list" if row.written_as_text else "list"
        found = f", found {quoted(value)}" if isinstance(value, str) else ""
        raise row.error(f'expected a {kind} of {{"question": ..., "answer": ...}}{found}', field)
    for number, item in enumerate(few(row, field, items), start=1):
        yield Row(row.path, f"{row.place}, {what} {number}", item)
