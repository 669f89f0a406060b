"""What a model answers about facts, and how likely it considers the targets.

Whether an answer is correct is decided by generation, not by teacher forcing. Answers before and
after training use the same prompt with demonstrations; the plain prompt is asked in addition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from bench.inference.encoding import encode_all
from bench.inference.generation import answer_budget, greedy_answers
from bench.inference.likelihood import negative_log_likelihoods
from tasks.fact import Fact
from tasks.prompt import Prompt, question_text
from tasks.scoring import exact_match

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EVALUATION_BATCH = 32


class Response(NamedTuple):
    """What one model answered about one fact; for the attributes see `Responses`."""

    answer: str
    paraphrases: tuple[bool, ...]
    neighbours: tuple[bool, ...]
    plain: bool
    nll: float
    old_nll: float | None


@dataclass(frozen=True)
class Responses:
    """What one model answered, per fact.

    Attributes:
        answers: The answer to the question, after demonstrations.
        paraphrases: Whether each paraphrase was answered correctly.
        neighbours: Whether each neighbour was answered correctly.
        plain: Whether the question was answered correctly on the plain prompt.
        nll: Mean negative log-likelihood of the target after demonstrations, in nats per token.
        old_nll: The same for the first old answer; None for facts without old answers.
    """

    answers: tuple[str, ...]
    paraphrases: tuple[tuple[bool, ...], ...]
    neighbours: tuple[tuple[bool, ...], ...]
    plain: tuple[bool, ...]
    nll: tuple[float, ...]
    old_nll: tuple[float | None, ...]

    def per_fact(self) -> list[Response]:
        """Return the same values, fact by fact."""
        columns = (getattr(self, field.name) for field in fields(self))
        return [Response(*values) for values in zip(*columns, strict=True)]


def respond(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    facts: Sequence[Fact],
    prompt: Prompt,
    before: Responses | None = None,
) -> Responses:
    """Ask a model everything that is measured about the facts.

    Args:
        model: A base or an adapted model, in evaluation mode.
        tokenizer: The base's tokenizer.
        facts: The facts to ask.
        prompt: The demonstrations before every question except the plain ones.
        before: The base's responses. Neighbours that it did not answer are not asked again and
            count as not answered, because only those it answered can be lost.
    """
    neighbours = [
        neighbour
        for i, fact in enumerate(facts)
        for j, neighbour in enumerate(fact.neighbours)
        if before is None or before.neighbours[i][j]
    ]
    asked = [fact.question for fact in facts]
    asked += [text for fact in facts for text in fact.paraphrases]
    asked = list(dict.fromkeys([*asked, *(neighbour.question for neighbour in neighbours)]))
    budget = budget_for(tokenizer, facts)

    def ask(prompts: list[str]) -> list[str]:
        return greedy_answers(model, tokenizer, prompts, budget=budget, batch_size=EVALUATION_BATCH)

    answer = dict(zip(asked, ask([prompt.few_shot(text) for text in asked]), strict=True))
    plain = ask([question_text(fact.question) for fact in facts])
    updates = [fact for fact in facts if fact.old_answers]
    likely = [(prompt.few_shot(f.question), f.target) for f in facts]
    likely += [(prompt.few_shot(f.question), f.old_answers[0]) for f in updates]
    examples = encode_all(tokenizer, likely)
    nll = negative_log_likelihoods(model, examples, tokenizer.pad_token_id, EVALUATION_BATCH)
    old_nll = {fact.id: value for fact, value in zip(updates, nll[len(facts) :], strict=True)}
    return Responses(
        answers=tuple(answer[fact.question] for fact in facts),
        paraphrases=tuple(
            tuple(exact_match(answer[text], fact.answers) for text in fact.paraphrases)
            for fact in facts
        ),
        neighbours=tuple(
            tuple(exact_match(answer.get(n.question, ""), n.answers) for n in fact.neighbours)
            for fact in facts
        ),
        plain=tuple(exact_match(a, f.answers) for a, f in zip(plain, facts, strict=True)),
        nll=tuple(nll[: len(facts)]),
        old_nll=tuple(old_nll.get(fact.id) for fact in facts),
    )


def budget_for(tokenizer: PreTrainedTokenizerBase, facts: Sequence[Fact]) -> int:
    """Return how many tokens answers to facts and their neighbours may have."""
    texts = [
        text
        for fact in facts
        for text in (*fact.answers, *fact.old_answers, *(n.answers[0] for n in fact.neighbours))
    ]
    return answer_budget(tokenizer, texts)
