"""KnowEdit, arXiv 2401.01286, and the flat records of EasyEdit with the same names.

What should follow (`portability`) are consequences: prompts about the subject under another name
that ask for the new answer, questions of several hops (`Reasoning`) and what else must be true
(`Logical_Generalization`). What should stay (`locality`) are neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.formats.record import Format, asked, replaced, text, texts, trainable
from tasks.row import Row
from tasks.scoring import exact_match


class KnowEdit(Format):
    """`subject`, `prompt`, `target_new`, `ground_truth`, `portability`, `locality`."""

    name = "KnowEdit"

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Return whether there are a prompt and its new target."""
        return {"prompt", "target_new"} <= values.keys()

    def fact(self, record: Row) -> dict[str, Any]:
        """Return the prompt with the new target, the true answers, and what is near."""
        values = record.values
        target = texts(record, "target_new", values.get("target_new"))
        return _fact(record, text(record, "prompt"), target, values.get("subject"))


class WikiBio(Format):
    """The part of KnowEdit that continues biographies: `concept`, `text`, `labels`."""

    name = "KnowEdit"

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Return whether there are a text and how it goes on."""
        return {"concept", "text", "labels"} <= values.keys()

    def fact(self, record: Row) -> dict[str, Any]:
        """Return the text as the question and its continuation as the answer."""
        labels = texts(record, "labels", record.values.get("labels"))
        return _fact(record, text(record, "text"), labels, record.values.get("concept"))


def _fact(record: Row, question: str, target: list[str], subject: Any) -> dict[str, Any]:
    values = record.values
    answers = trainable(target)
    aliases = [
        prompt
        for prompt, truth in _prompts(record, "portability", ("Subject_Aliasing",))
        if any(exact_match(answer, answers) for answer in truth)
    ]
    names = ("rephrase_prompt", "rephrase")
    rephrased = [each for name in names for each in texts(record, name, values.get(name))]
    kept = list(_prompts(record, "locality", None))
    # The flat records of EasyEdit have one question that should stay.
    for prompt in texts(record, "locality_prompt", values.get("locality_prompt")):
        truth = values.get("locality_ground_truth")
        kept.append((prompt, texts(record, "locality_ground_truth", truth)))
    return {
        "question": question.replace("{}", str(subject)) if subject else question,
        "answers": answers,
        "old_answers": replaced(texts(record, "ground_truth", values.get("ground_truth")), answers),
        "paraphrases": rephrased,
        "neighbours": [near for prompt, truth in kept for near in asked(prompt, truth)],
        "aliases": aliases,
        "multi_hop": _following(record, "Reasoning"),
        "logical": _following(record, "Logical_Generalization"),
        "id": values.get("case_id", values.get("id")),
        "subject": subject,
    }


def _following(record: Row, kind: str) -> list[dict[str, Any]]:
    found = _prompts(record, "portability", (kind,))
    return [each for prompt, truth in found for each in asked(prompt, truth)]


def _prompts(
    record: Row, name: str, wanted: tuple[str, ...] | None
) -> Iterator[tuple[str, list[str]]]:
    """Yield prompts with what is right, from a field that groups lists of them by their kind."""
    groups = record.values.get(name) or {}
    if not isinstance(groups, Mapping):
        raise record.error("expected an object with lists of prompts", name)
    for kind, items in groups.items():
        if wanted is not None and kind not in wanted:
            continue
        where = f"{name}.{kind}"
        for item in items if isinstance(items, list) else [items]:
            if not isinstance(item, Mapping):
                if item is None:
                    continue
                raise record.error('expected a list of {"prompt": ..., "ground_truth": ...}', where)
            truth = texts(record, where, item.get("ground_truth"))
            for prompt in texts(record, where, item.get("prompt")):
                yield prompt, truth
