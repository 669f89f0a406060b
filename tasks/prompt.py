"""How a model is asked a question: a plain prompt for training, and one with demonstrations.

Answers before and after training use the same demonstrations, so a difference between them never
comes from the prompt.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from tasks.errors import UsageError
from tasks.fact import Fact, hash_fraction
from tasks.form import LONGEST_ANSWER, QUESTIONS, Form
from tasks.leakage import asked_forms
from tasks.scoring import normalise

DEMONSTRATIONS = 4
STOP = QUESTIONS.stop
"""Ends an answer, as the end-of-sequence token does; trained as the last token of each target."""

BUILT_IN = (
    ("What is the capital of the Roman Empire?", "Rome"),
    ("How many days are in a week?", "7"),
    ("Who wrote Romeo and Juliet?", "William Shakespeare"),
    ("What color is a clear daytime sky?", "blue"),
)
"""Demonstrations for tasks that have no facts to spare."""

RESERVE = (
    ("How many legs does a spider have?", "8"),
    ("Who painted the Mona Lisa?", "Leonardo da Vinci"),
    ("On which continent is Egypt?", "Africa"),
    ("What is the opposite of hot?", "cold"),
    ("Which planet is closest to the Sun?", "Mercury"),
    ("What is the last letter of the English alphabet?", "Z"),
    ("How many sides does a triangle have?", "3"),
    ("What do bees make?", "honey"),
)
"""Take the place of built-in demonstrations that a task asks."""


def question_text(question: str) -> str:
    """Return the plain prompt of a question, which is used in training."""
    return QUESTIONS.question(question)


def target_text(answer: str) -> str:
    """Return the continuation that is trained: the answer followed by the stop."""
    return QUESTIONS.target(answer)


def token_budget(longest: int) -> int:
    """Return how many tokens an answer may have, given the longest target in tokens."""
    return QUESTIONS.token_budget(longest)


def character_budget(longest: int) -> int:
    """Return how many tokens an answer may have, given the longest target in characters.

    A forgetting task for lm-eval is written before any tokenizer is known, so characters are
    counted. A token has three or four of them, so half their number is enough for long answers.
    """
    # Not `token_budget`: all stored forgetting scores of generating tasks used this bound.
    return min(LONGEST_ANSWER, longest + 2, max(32, longest // 2))


def fact_text(fact: Fact) -> str:
    """Return a fact as the text that is trained: the plain prompt and the first answer."""
    return question_text(fact.question) + target_text(fact.target)


@dataclass(frozen=True)
class Prompt:
    """The prompt of a task with demonstrations.

    Attributes:
        demonstrations: Four fixed `(question, answer)` pairs.
        form: How they and the questions are written.
    """

    demonstrations: tuple[tuple[str, str], ...]
    form: Form = QUESTIONS

    @property
    def prefix(self) -> str:
        """The demonstrations as text, which precedes each question."""
        return "".join(self.form.shown(q, a) for q, a in self.demonstrations)

    def few_shot(self, question: str) -> str:
        """Return the demonstrations followed by the plain prompt of a question."""
        return self.prefix + self.form.question(question)

    def text(self, fact: Fact) -> str:
        """Return a fact as the text that is trained: the plain prompt and the first answer."""
        if fact.is_text:
            return fact.target
        return self.form.question(fact.question) + self.form.target(fact.target)

    @property
    def digest(self) -> str:
        """Digest of all that is asked and trained: both prompts, the target and the budgets."""
        form = self.form
        texts = [self.few_shot("?"), form.question("?"), form.target("?"), form.stop]
        texts += [f"windows of {form.window} tokens"] if form.window else []
        texts += ["the chat template"] if form.chat else []
        texts += map(form.question, form.others)
        texts += [f"cut after {form.cut} tokens"] if form.cut else []
        budgets = [
            budget(size) for budget in (form.token_budget, character_budget) for size in (1, 999)
        ]
        return hashlib.sha256(json.dumps([texts, budgets]).encode()).hexdigest()


def choose_demonstrations(
    rows: Iterable[Fact], selected: Sequence[Fact], form: Form = QUESTIONS
) -> Prompt:
    """Return demonstrations drawn by a fixed hash from facts whose subjects are not selected.

    Relations take turns, so that the four show different kinds of answers if the task has them.
    Nothing that the selected facts ask is shown: no question, no paraphrase and no neighbour.

    Args:
        rows: All facts of the task.
        selected: The facts that are trained or measured; their subjects are never shown.
        form: How questions and answers are written.

    Returns:
        Demonstrations of the task, or the built-in ones if too few facts are left.

    Raises:
        UsageError: The selected facts ask nearly all built-in demonstrations.
    """
    taken, asked = {_subject(fact) for fact in selected}, asked_forms(selected)
    spare = [fact for fact in rows if fact.question and _subject(fact) not in taken]
    spare.sort(key=lambda fact: hash_fraction("demonstration", fact.id))
    chosen: list[Fact] = []
    while len(chosen) < DEMONSTRATIONS and spare:
        shown = Counter(fact.relation for fact in chosen)
        rarest = min(shown[relation] for relation in {fact.relation for fact in spare})
        last = next(fact for fact in spare if shown[fact.relation] == rarest)
        if (question := normalise(last.question)) in asked:
            spare.remove(last)
            continue
        chosen.append(last)
        asked.add(question)
        subject = _subject(last)
        spare = [fact for fact in spare if _subject(fact) != subject]
    if len(chosen) < DEMONSTRATIONS:
        return Prompt(_built_in(asked_forms(selected)), form)
    return Prompt(tuple((fact.question, fact.target) for fact in chosen), form)


def _subject(fact: Fact) -> tuple[str, bool]:
    """Return what a fact is about, to compare: its subject, or its id if it has none."""
    return (normalise(fact.subject), True) if fact.subject else (fact.id, False)


def _built_in(asked: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Return built-in demonstrations whose questions are not among what is asked."""
    free = [shown for shown in (*BUILT_IN, *RESERVE) if normalise(shown[0]) not in asked]
    if len(free) < DEMONSTRATIONS:
        raise UsageError(
            f"the facts ask all but {len(free)} of the built-in demonstrations; remove facts like "
            f"'{BUILT_IN[0][0]}', or use --limit to leave {DEMONSTRATIONS} facts to show"
        )
    return tuple(free[:DEMONSTRATIONS])
