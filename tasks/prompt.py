"""How a question is put to a model: one plain form for training, one with demonstrations.

Answers before and after training, and the distances between them, use one and the same
demonstrations, so that a difference between them is never a difference of prompt.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.fact import Fact, hash_fraction

DEMONSTRATIONS = 4
STOP = "\n"
"""Ends an answer; trained as the last token of every target. The end-of-sequence token too."""

LONGEST_ANSWER = 64
"""The most tokens that an answer may have, however long the targets are."""

BUILT_IN = (
    ("What is the capital of the Roman Empire?", "Rome"),
    ("How many days are in a week?", "7"),
    ("Who wrote Romeo and Juliet?", "William Shakespeare"),
    ("What color is a clear daytime sky?", "blue"),
)
"""Demonstrations for tasks that have no rows to spare."""


def question_text(question: str) -> str:
    """Return the plain prompt of a question, as it is trained."""
    return f"Question: {question}\nAnswer:"


def target_text(answer: str) -> str:
    """Return the continuation that is trained: the answer and the stop."""
    return f" {answer}{STOP}"


def token_budget(longest: int) -> int:
    """Return how many tokens an answer may have where the longest target has so many tokens."""
    return min(LONGEST_ANSWER, longest + 4)


def character_budget(longest: int) -> int:
    """Return how many tokens an answer may have where the longest target has so many characters.

    A forgetting task of lm-eval is written down before any tokenizer is known, so characters are
    counted there. They are three or four to a token: half of the other bound is room enough.
    """
    # Not `token_budget`: every stored forgetting score of a generating task was made with these.
    return min(LONGEST_ANSWER // 2, longest + 2)


def fact_text(fact: Fact) -> str:
    """Return a fact as one text, as it is trained: the plain prompt and the first answer."""
    return question_text(fact.question) + target_text(fact.target)


@dataclass(frozen=True)
class Prompt:
    """The four fixed demonstrations of a task: `(question, answer)` pairs."""

    demonstrations: tuple[tuple[str, str], ...]

    @property
    def prefix(self) -> str:
        """The text before every question that is asked with demonstrations."""
        return "".join(f"{question_text(q)}{target_text(a)}\n" for q, a in self.demonstrations)

    def few_shot(self, question: str) -> str:
        """Return the prompt of a question after the demonstrations."""
        return self.prefix + question_text(question)

    @property
    def digest(self) -> str:
        """Digest of the demonstrations and the stop rule."""
        content = json.dumps([self.demonstrations, question_text("?"), STOP])
        return hashlib.sha256(content.encode()).hexdigest()


def choose_demonstrations(rows: Iterable[Fact], selected: Sequence[Fact]) -> Prompt:
    """Draw demonstrations by a fixed hash from rows whose subjects are not selected.

    Relations take turns, so that the four show different kinds of answer where the task has
    them. Rows too few: the built-in list.
    """
    taken = {fact.subject or fact.id for fact in selected}
    spare = [fact for fact in rows if (fact.subject or fact.id) not in taken]
    spare.sort(key=lambda fact: hash_fraction("demonstration", fact.id))
    chosen: list[Fact] = []
    while len(chosen) < DEMONSTRATIONS and spare:
        shown = Counter(fact.relation for fact in chosen)
        rarest = min(shown[relation] for relation in {fact.relation for fact in spare})
        last = next(fact for fact in spare if shown[fact.relation] == rarest)
        chosen.append(last)
        spare = [
            fact
            for fact in spare
            if fact is not last and (fact.subject != last.subject or not fact.subject)
        ]
    if len(chosen) < DEMONSTRATIONS:
        return Prompt(BUILT_IN)
    return Prompt(tuple((fact.question, fact.target) for fact in chosen))
