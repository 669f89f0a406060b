"""WikiBigEdit, arXiv 2503.05683: what changed in Wikidata between two dates, as questions.

The question in other words and in the words of a persona are paraphrases, the question about
something near is a neighbour, and that of several hops a consequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.formats.record import Format, asked, text, texts, trainable
from tasks.row import Row


class WikiBigEdit(Format):
    """`tag`, `subject`, `update`, `ans`, `rephrase`, `personas`, `loc`, `mhop`."""

    name = "WikiBigEdit"

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Return whether there are an update and its answer."""
        return {"update", "ans"} <= values.keys()

    def fact(self, record: Row) -> dict[str, Any]:
        """Return the update with its answer, other wordings, what is near and what follows."""
        values = record.values
        return {
            "question": text(record, "update"),
            "answers": trainable(texts(record, "ans", values.get("ans"))),
            "paraphrases": [
                each for name in ("rephrase", "personas") for each in _texts(record, name)
            ],
            "neighbours": _pair(record, "loc"),
            "multi_hop": _pair(record, "mhop"),
            "subject": values.get("subject"),
        }


def _texts(record: Row, name: str) -> list[str]:
    """Return the texts of a field; personas may be an object with one for each."""
    value = record.values.get(name)
    return texts(record, name, list(value.values()) if isinstance(value, Mapping) else value)


def _pair(record: Row, name: str) -> list[dict[str, Any]]:
    questions, answers = _texts(record, name), _texts(record, f"{name}_ans")
    return asked(questions[0] if questions else "", answers)
