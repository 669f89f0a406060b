"""zsRE in the two forms that knowledge editing uses, with questions from arXiv 1706.04115.

The flat form (`src`, `alt`, `answers`) has one other answer to train; the form of MEND
(arXiv 2110.11309; `input`, `output`, `alternatives`) has several, of which the first is trained.
The answers that are true become the old ones. Where no other answer is given, the true one is
trained. The unrelated question `loc` is a neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.formats.record import Format, SkippedError, asked, replaced, text, texts, trainable
from tasks.row import Row

_NQ = "nq question: "
"""How the sources begin unrelated questions, which come from Natural Questions."""


class ZsreFlat(Format):
    """`subject`, `src`, `rephrase`, `alt`, `answers`, `loc`, `loc_ans`."""

    name = "zsRE"

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Return whether there are a source question and what replaces its answer."""
        return "src" in values and ("alt" in values or "answers" in values)

    def fact(self, record: Row) -> dict[str, Any]:
        """Return the question with the other answer, or with the true one if `alt` is no field."""
        true = texts(record, "answers", record.values.get("answers"))
        other = texts(record, "alt", record.values.get("alt"))
        if "alt" in record.values and not other:
            raise SkippedError("without a new answer")
        return _fact(record, text(record, "src"), other or true, true)


class ZsreMend(Format):
    """`input`, `output`, `alternatives`, `filtered_rephrases`."""

    name = "zsRE"

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Return whether the output is a list of answers."""
        output = values.get("output")
        return (
            "input" in values
            and isinstance(output, list)
            and all(isinstance(one, dict) and "answer" in one for one in output)
        )

    def fact(self, record: Row) -> dict[str, Any]:
        """Return the question with its first alternative, or with the true answer."""
        output = record.values.get("output")
        if not isinstance(output, list) or not all(isinstance(one, dict) for one in output):
            raise record.error('expected a list of {"answer": ...}', "output")
        true = texts(record, "output.answer", [one.get("answer") for one in output])
        others = texts(record, "alternatives", record.values.get("alternatives"))[:1]
        return _fact(record, text(record, "input"), others or true, true)


def _fact(record: Row, question: str, answers: list[str], true: list[str]) -> dict[str, Any]:
    values = record.values
    accepted = trainable(answers)
    names = ("rephrase", "rephrases", "filtered_rephrases")
    near = texts(record, "loc", values.get("loc"))
    return {
        "question": question,
        "answers": accepted,
        "old_answers": replaced(true, accepted),
        "paraphrases": [each for name in names for each in texts(record, name, values.get(name))],
        "neighbours": asked(
            near[0].removeprefix(_NQ) if near else "",
            texts(record, "loc_ans", values.get("loc_ans")),
        ),
        "id": values.get("id", values.get("case_id")),
        "subject": values.get("subject"),
    }
