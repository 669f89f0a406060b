"""SQuAD 1.1 and 2.0, arXiv 1606.05250 and 1806.03822: questions about paragraphs.

The paragraph is not shown: the answer becomes a fact to know. All questions of an article have one
subject, its title. Questions that cannot be answered from the paragraph have no answer to train.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.formats.record import Format, SkippedError, field, text, texts, trainable
from tasks.row import Row


class SquadArticles(Format):
    """The nested files that the authors publish: `data`, `paragraphs`, `qas`."""

    name = "SQuAD"

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Return whether it is an article with paragraphs."""
        return isinstance(values.get("paragraphs"), list)

    def records(self, row: Row) -> Iterator[Row]:
        """Return the questions of an article."""
        for number, paragraph in enumerate(field(row, "paragraphs"), start=1):
            place = f"{row.place}, paragraph {number}"
            inside = Row(row.path, place, paragraph if isinstance(paragraph, dict) else {})
            asked = field(inside, "qas")
            if not isinstance(asked, list):
                raise inside.error("expected a list of questions", "qas")
            for index, qa in enumerate(asked, start=1):
                record = Row(row.path, f"{place}, question {index}", {})
                if not isinstance(qa, dict):
                    raise record.error("expected an object with named fields")
                title = row.values.get("title")
                yield Row(row.path, record.place, {"title": title, **qa})

    def fact(self, record: Row) -> dict[str, Any]:
        """Return question, answers, id and title."""
        return _fact(record)


class SquadRows(Format):
    """One question per row, as data set libraries write it: `answers` holds texts and places."""

    name = "SQuAD"

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Return whether a question has answers with their places in a paragraph."""
        answers = values.get("answers")
        if isinstance(answers, list):
            is_placed = all(isinstance(one, dict) and "text" in one for one in answers)
            return "question" in values and is_placed and bool(answers or "context" in values)
        return "question" in values and isinstance(answers, dict) and "text" in answers

    def fact(self, record: Row) -> dict[str, Any]:
        """Return question, answers, id and title."""
        return _fact(record)


def _fact(record: Row) -> dict[str, Any]:
    question = text(record, "question")
    answers = field(record, "answers")
    if record.values.get("is_impossible") is True:
        raise SkippedError("that cannot be answered")
    if isinstance(answers, list):
        placed = [
            Row(record.path, record.place, one if isinstance(one, dict) else {}) for one in answers
        ]
        said = [text(one, "text") for one in placed]
    else:
        said = texts(record, "answers.text", field(record, "answers", "text"))
    return {
        "question": question,
        "answers": trainable(list(dict.fromkeys(said))),
        "id": record.values.get("id"),
        "subject": record.values.get("title"),
    }
