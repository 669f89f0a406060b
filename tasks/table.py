"""Facts from an embedded table of subjects and relations, and the wordings that ask for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from tasks.fact import Fact


@dataclass(frozen=True, slots=True)
class Wordings:
    """How questions about one relation are worded.

    Attributes:
        question: The trained wording; `{}` stands for the subject.
        paraphrases: At least two other wordings.
        asks_with: For reversed questions: the relation whose answer replaces the subject in the
            wording (`symbol`: which element has the symbol Au?).
    """

    question: str
    paraphrases: tuple[str, ...]
    asks_with: str = ""


def table_facts(file: str, relations: Mapping[str, Wordings]) -> list[Fact]:
    """Return the facts of `tasks/data/<file>`, by subject and then by relation.

    Raises:
        KeyError: `relations` lacks a relation of the table, or `asks_with` names one that a
            subject does not have.
    """
    text = files("tasks").joinpath("data", file).read_text(encoding="utf-8")
    return [
        _fact(subject, relation, relations[relation], row)
        for subject, row in json.loads(text)["subjects"].items()
        for relation in row
    ]


def _fact(subject: str, relation: str, wordings: Wordings, row: Mapping[str, list[str]]) -> Fact:
    asked = row[wordings.asks_with][0] if wordings.asks_with else subject
    return Fact(
        id=f"{subject}/{relation}",
        question=wordings.question.format(asked),
        answers=tuple(row[relation]),
        paraphrases=tuple(wording.format(asked) for wording in wordings.paraphrases),
        relation=relation,
        subject=subject,
    )
