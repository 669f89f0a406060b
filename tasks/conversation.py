"""Conversations as questions: what was said before the answer, one turn after the other.

A `Fact` has one question, which is a text. A conversation of a single turn of the user is that turn
itself, so that it reads well in tables; any other is a JSON list of its turns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Turn = Mapping[str, str]
"""`role` and `content`."""

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"


def question_of(turns: Sequence[Turn]) -> str:
    """Return turns as a question, from which `turns_of` returns them."""
    plain = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    alone = len(plain) == 1 and plain[0]["role"] == USER
    if alone and _listed(plain[0]["content"]) is None:
        return plain[0]["content"]
    return json.dumps(plain, ensure_ascii=False)


def turns_of(question: str) -> list[dict[str, str]]:
    """Return the turns that a question of `question_of` stands for."""
    return _listed(question) or [{"role": USER, "content": question}]


def after_demonstrations(question: str, shown: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Return the turns of a question after other conversations with their answers.

    Only a system turn of the question itself is kept: templates allow one, and it comes first.

    Args:
        question: The question that is asked.
        shown: Questions with their answers.
    """
    asked = turns_of(question)
    before = [
        turn
        for said, answer in shown
        for turn in (*_without_system(turns_of(said)), {"role": ASSISTANT, "content": answer})
    ]
    rest = _without_system(asked)
    return [*(turn for turn in asked if turn["role"] == SYSTEM), *before, *rest]


def transcript(question: str) -> str:
    """Return the turns as text for people, a line or more each."""
    return "\n".join(
        f"{turn['role'].capitalize()}: {turn['content']}" for turn in turns_of(question)
    )


def _without_system(turns: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return [turn for turn in turns if turn["role"] != SYSTEM]


def _listed(text: str) -> list[dict[str, str]] | None:
    """Return the turns of a JSON list of them; None for any other text."""
    if not text.startswith("["):
        return None
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not found:
        return None
    whole = all(
        isinstance(turn, dict)
        and turn.keys() == {"role", "content"}
        and all(isinstance(value, str) for value in turn.values())
        for turn in found
    )
    return found if whole else None
