"""CounterFact of ROME, arXiv 2202.05262: facts to replace, with paraphrases and neighbours.

Prompts are beginnings of sentences (`The mother tongue of {} is`), which are asked as they stand.
Neighbours are prompts about other subjects with the same true answer. The prompts to generate
freely from, and those about other attributes, are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.formats.record import Format, asked, field, replaced, text, texts, trainable
from tasks.row import Row


class CounterFact(Format):
    """`requested_rewrite`, `paraphrase_prompts`, `neighborhood_prompts`."""

    name = "CounterFact"

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Return whether there is a requested rewrite, but no questions as in MQuAKE."""
        return "requested_rewrite" in values and "questions" not in values

    def fact(self, record: Row) -> dict[str, Any]:
        """Return the prompt with its subject, the new and the true answer, and what is near."""
        subject = text(record, "requested_rewrite", "subject")
        prompt = text(record, "requested_rewrite", "prompt")
        answers = trainable([text(record, "requested_rewrite", "target_new", "str")])
        rewrite = field(record, "requested_rewrite")
        true: list[str] = []
        if rewrite.get("target_true") is not None:
            true = texts(
                record,
                "requested_rewrite.target_true.str",
                field(record, "requested_rewrite", "target_true", "str"),
            )
        values = record.values
        return {
            "question": prompt.replace("{}", subject),
            "answers": answers,
            # Files of zsRE in this form write the end of text for an answer that is not known.
            "old_answers": replaced([answer for answer in true if answer[:2] != "<|"], answers),
            "paraphrases": texts(record, "paraphrase_prompts", values.get("paraphrase_prompts")),
            "neighbours": _neighbours(record, true),
            "id": values.get("case_id"),
            "relation": rewrite.get("relation_id"),
            "subject": subject,
        }


def _neighbours(record: Row, true: list[str]) -> list[dict[str, Any]]:
    given = record.values.get("neighborhood_prompts") or []
    if not isinstance(given, list):
        raise record.error("expected a list of prompts", "neighborhood_prompts")
    found = []
    for item in given:
        if not isinstance(item, dict):
            for prompt in texts(record, "neighborhood_prompts", item):
                found += asked(prompt, true)
            continue
        # Some copies give each neighbour its own answer.
        prompts = texts(record, "neighborhood_prompts", item.get("prompt"))
        target = texts(record, "neighborhood_prompts", item.get("target"))
        found += asked(prompts[0] if prompts else "", target or true)
    return found
