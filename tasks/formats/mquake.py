"""MQuAKE, arXiv 2305.14795, and MQuAKE-Remastered: edits with questions of several hops.

A record has one edit or more (`requested_rewrite`) and three wordings of one question (`questions`)
whose answer they change together. Each edit becomes a fact. The question belongs to the last of
them and needs the others; the single questions on its way (`new_single_hops`) are its hops. The
remastered files name targets without nesting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.formats.record import Format, asked, field, replaced, text, texts, trainable
from tasks.row import Row
from tasks.scoring import normalise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edit(Row):
    """An edit of a record: its case, its number in it, and of the last one the whole record."""

    case: str
    number: int
    whole: Row | None


class MQuake(Format):
    """`requested_rewrite`, `questions`, `new_answer`, `new_single_hops`."""

    name = "MQuAKE"

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Return whether there are requested rewrites and questions that follow from them."""
        return {"requested_rewrite", "questions"} <= values.keys()

    def records(self, row: Row) -> Iterator[Row]:
        """Return the edits of a record, each with what all of them share."""
        field(row, "questions")
        edits = field(row, "requested_rewrite")
        if not isinstance(edits, list) or not all(isinstance(one, Mapping) for one in edits):
            raise row.error("expected a list of edits", "requested_rewrite")
        if not edits:
            raise row.error(
                "has no edits: give at least one, or delete the record", "requested_rewrite"
            )
        for number, edit in enumerate(edits, start=1):
            place, whole = f"{row.place}, edit {number}", row if number == len(edits) else None
            yield _Edit(row.path, place, edit, case=_case(row), number=number, whole=whole)

    def fact(self, record: Row) -> dict[str, Any]:
        """Return the question with the new and the true answer; of the last, what follows."""
        assert isinstance(record, _Edit)
        values = record.values
        answers = trainable([_target(record, "target_new")])
        true = [_target(record, "target_true")] if _has(record, "target_true") else []
        return {
            "question": text(record, "question"),
            "answers": answers,
            "old_answers": replaced(true, answers),
            "multi_hop": _multi_hop(record.whole) if record.whole else [],
            "id": f"{record.case}/{record.number}" if record.case else None,
            "relation": values.get("relation_id"),
            "subject": values.get("subject"),
        }

    def group(self, record: Row) -> str:
        """Return the case, whose edits belong together."""
        assert isinstance(record, _Edit)
        return record.case


def _case(row: Row) -> str:
    found = texts(row, "case_id", row.values.get("case_id"))
    return found[0] if found else ""


def _has(edit: Row, name: str) -> bool:
    return edit.values.get(name) is not None or edit.values.get(f"{name}_str") is not None


def _target(edit: Row, name: str) -> str:
    """Return a target, as MQuAKE nests it or as MQuAKE-Remastered names it."""
    flat = f"{name}_str"
    return text(edit, flat) if flat in edit.values else text(edit, name, "str")


def _multi_hop(row: Row) -> list[dict[str, Any]]:
    """Return the question that follows from all edits of a record, with its hops."""
    values = row.values
    phrasings = texts(row, "questions", values.get("questions"))
    if not phrasings:
        return []
    alias = texts(row, "new_answer_alias", values.get("new_answer_alias"))
    found = asked(phrasings[0], [text(row, "new_answer"), *alias])
    return [
        {"questions": phrasings, "answers": one["answers"], "hops": _hops(row)} for one in found
    ]


def _hops(row: Row) -> list[dict[str, Any]]:
    """Return the single questions: those of the record, and edits that are not among them."""
    hops = []
    given = row.values.get("new_single_hops") or []
    if not isinstance(given, list):
        raise row.error('expected a list of {"question": ..., "answer": ...}', "new_single_hops")
    for number, one in enumerate(given, start=1):
        place = f"{row.place}, new_single_hops {number}"
        inside = Row(row.path, place, one if isinstance(one, Mapping) else {})
        alias = texts(inside, "answer_alias", inside.values.get("answer_alias"))
        hops += asked(text(inside, "question"), [text(inside, "answer"), *alias])
    there = {normalise(hop["question"]) for hop in hops}
    for number, one in enumerate(row.values["requested_rewrite"], start=1):
        edit = Row(row.path, f"{row.place}, edit {number}", one)
        if normalise(text(edit, "question")) not in there:
            hops += asked(text(edit, "question"), [_target(edit, "target_new")])
    return hops
