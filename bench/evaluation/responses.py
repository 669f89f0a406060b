"""What a model answers about facts, in every context, and how likely it considers the targets.

Whether an answer is correct is decided by generation, not by teacher forcing. What the base knows
is asked with demonstrations; what was learned is asked on the trained prompt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from bench.evaluation.consequences import Followed, asked_of_consequences, followed
from bench.evaluation.label_metrics import label_scores
from bench.inference.batch_size import ROWS_ON_CPU
from bench.inference.contexts import Contexts
from bench.inference.generation import answer_budget, greedy_answers_of_members
from bench.inference.likelihood import likelihoods_of_members
from bench.models.capabilities import members_of
from tasks.context import Context
from tasks.fact import Fact
from tasks.form import QUESTIONS, Form
from tasks.scoring import exact_match

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EVALUATION_BATCH = ROWS_ON_CPU
"""Rows of studies that ask in batches of one size on every device."""


class Response(NamedTuple):
    """What one model answered about one fact; for the attributes see `Responses`."""

    asked: Context
    answers: Mapping[Context, str]
    paraphrases: tuple[bool, ...]
    neighbours: tuple[bool, ...]
    nll: float
    old_nll: float | None
    consequences: tuple[Followed | None, ...] = ()
    label_scores: tuple[float, ...] = ()

    @property
    def trained(self) -> str:
        """The answer on the trained prompt."""
        return self.answers[self.asked]

    @property
    def few_shot(self) -> str:
        """The answer with demonstrations."""
        return self.answers[Context.FEW_SHOT]


@dataclass(frozen=True)
class Responses:
    """What one model answered, per fact.

    Attributes:
        asked: The context of the trained prompt.
        answers: The answers to the questions, by context, each `[facts]`.
        paraphrases: Whether each paraphrase was answered correctly on the trained prompt; empty
            for the base, which is not asked any.
        neighbours: Whether each neighbour was answered correctly after demonstrations.
        nll: Mean negative log-likelihood of the target on the trained prompt, in nats per token.
        old_nll: The same for the first old answer; None for facts without old answers.
        consequences: What was answered of each consequence of each fact; None where it was not
            asked, because a fact that it needs is not among the facts. Empty if no fact has any.
        label_scores: The probability of each of a fact's choices among them, on the trained
            prompt, `[facts][choices]`; empty unless the task is a classification.
    """

    asked: Context
    answers: dict[Context, tuple[str, ...]]
    paraphrases: tuple[tuple[bool, ...], ...]
    neighbours: tuple[tuple[bool, ...], ...]
    nll: tuple[float, ...]
    old_nll: tuple[float | None, ...]
    consequences: tuple[tuple[Followed | None, ...], ...] = ()
    label_scores: tuple[tuple[float, ...], ...] = ()

    @property
    def few_shot(self) -> tuple[str, ...]:
        """The answers with demonstrations, `[facts]`."""
        return self.answers[Context.FEW_SHOT]

    def per_fact(self) -> list[Response]:
        """Return the same values, fact by fact."""
        said = zip(*self.answers.values(), strict=True)
        answers = [dict(zip(self.answers, each, strict=True)) for each in said]
        none: tuple[tuple[()], ...] = ((),) * len(self.nll)
        follows, scores = self.consequences or none, self.label_scores or none
        rest = (self.paraphrases, self.neighbours, self.nll, self.old_nll, follows, scores)
        return [Response(self.asked, *each) for each in zip(answers, *rest, strict=True)]


def respond_untrained(model: nn.Module, contexts: Contexts, facts: Sequence[Fact]) -> Responses:
    """Ask the base what a trained model is compared with.

    It is asked the consequences of facts too, on the trained prompt: what it could answer before
    was not carried over from what was learned. Facts without consequences cost nothing more.

    Args:
        model: The untouched base, in evaluation mode.
        contexts: How questions are put.
        facts: The facts to ask.
    """
    wanted = tuple(dict.fromkeys((Context.FEW_SHOT, contexts.asked)))
    [found] = _respond(model, contexts, facts, wanted, paraphrased=False)
    return found


def respond(
    model: nn.Module,
    contexts: Contexts,
    facts: Sequence[Fact],
    before: Responses,
    *,
    everywhere: bool = True,
) -> Responses:
    """Ask a trained model everything that is measured about the facts.

    For the arguments see `respond_together`, whose case of one member this is.
    """
    [found] = respond_together(model, contexts, facts, before, everywhere=everywhere)
    return found


def respond_together(
    model: nn.Module,
    contexts: Contexts,
    facts: Sequence[Fact],
    before: Responses,
    *,
    everywhere: bool = True,
) -> list[Responses]:
    """Ask each member of a stack everything that is measured about the same facts, `[members]`.

    Args:
        model: A trained model or several stacked ones, in evaluation mode.
        contexts: How questions are put.
        facts: The facts to ask.
        before: The base's responses. Neighbours that it did not answer are not asked again and
            count as not answered, because only those it answered can be lost.
        everywhere: Whether they are asked in every context, and their paraphrases. Otherwise what
            only shows what was carried over is left out. It takes longest: other contexts seldom
            stop by themselves, and a fact may have many paraphrases.
    """
    deciding = {Context.PLAIN, Context.FEW_SHOT, contexts.asked}
    wanted = [one for one in contexts.available if everywhere or one in deciding]
    return _respond(model, contexts, facts, wanted, paraphrased=everywhere, before=before)


def _respond(
    model: nn.Module,
    contexts: Contexts,
    facts: Sequence[Fact],
    wanted: Collection[Context],
    *,
    paraphrased: bool,
    before: Responses | None = None,
) -> list[Responses]:
    budget = budget_for(contexts.tokenizer, facts, contexts.form)
    neighbours = [
        neighbour
        for i, fact in enumerate(facts)
        for j, neighbour in enumerate(fact.neighbours)
        if before is None or before.neighbours[i][j]
    ]
    asked = {context: [fact.question for fact in facts] for context in wanted}
    asked[Context.FEW_SHOT] += [neighbour.question for neighbour in neighbours]
    asked[contexts.asked] += asked_of_consequences(facts)
    if paraphrased:
        asked[contexts.asked] += [text for fact in facts for text in fact.paraphrases]

    answers: list[dict[Context, dict[str, str]]] = [{} for _ in range(members_of(model))]
    for context, questions in asked.items():
        distinct = list(dict.fromkeys(questions))
        prompts = [contexts.prompt(context, question) for question in distinct]
        said = greedy_answers_of_members(
            model, contexts.tokenizer, prompts, budget=budget, form=contexts.form
        )
        for own, of_member in zip(answers, said, strict=True):
            own[context] = dict(zip(distinct, of_member, strict=True))

    likelihoods = _likelihoods(model, contexts, facts)
    scores = _label_scores(model, contexts, facts)
    return [
        replace(
            _responses(contexts.asked, facts, wanted, own, *nlls, paraphrased=paraphrased),
            label_scores=of_labels,
        )
        for own, nlls, of_labels in zip(answers, likelihoods, scores, strict=True)
    ]


def _responses(
    asked: Context,
    facts: Sequence[Fact],
    wanted: Collection[Context],
    answers: Mapping[Context, Mapping[str, str]],
    nll: tuple[float, ...],
    old_nll: tuple[float | None, ...],
    *,
    paraphrased: bool,
) -> Responses:
    """Put together what one model answered.

    Args:
        asked: The context of the trained prompt.
        facts: The facts that were asked.
        wanted: The contexts in which their questions were.
        answers: The answer to each question, by context.
        nll: See `Responses`.
        old_nll: See `Responses`.
        paraphrased: Whether paraphrases were asked.
    """
    shown, trained = answers[Context.FEW_SHOT], answers[asked]
    return Responses(
        asked=asked,
        answers={
            context: tuple(answers[context][fact.question] for fact in facts) for context in wanted
        },
        paraphrases=tuple(
            tuple(fact.accepts(trained[text]) for text in fact.paraphrases) if paraphrased else ()
            for fact in facts
        ),
        neighbours=tuple(
            tuple(exact_match(shown.get(n.question, ""), n.answers) for n in fact.neighbours)
            for fact in facts
        ),
        nll=nll,
        old_nll=old_nll,
        consequences=followed(facts, trained),
    )


def _likelihoods(
    model: nn.Module, contexts: Contexts, facts: Sequence[Fact]
) -> list[tuple[tuple[float, ...], tuple[float | None, ...]]]:
    """Return each member's likelihoods of targets and of first old answers, each `[facts]`."""
    updates = [fact for fact in facts if fact.old_answers]
    pairs = [(fact.question, fact.target) for fact in facts]
    pairs += [(fact.question, fact.old_answers[0]) for fact in updates]
    examples = contexts.encode(contexts.asked, pairs)
    pad = contexts.tokenizer.pad_token_id
    results = []
    for found in likelihoods_of_members(model, examples, pad):
        old = {fact.id: value for fact, value in zip(updates, found[len(facts) :], strict=True)}
        results.append((tuple(found[: len(facts)]), tuple(old.get(fact.id) for fact in facts)))
    return results


def _label_scores(
    model: nn.Module, contexts: Contexts, facts: Sequence[Fact]
) -> list[tuple[tuple[float, ...], ...]]:
    """Return each member's scores of all labels, `[members][facts][choices]`, if there are any."""
    if not contexts.form.labels:
        return [()] * members_of(model)
    pairs = [(fact.question, label) for fact in facts for label in fact.choices]
    examples = contexts.encode(contexts.asked, pairs)
    sizes = [len(example.tokens) - example.start for example in examples]
    results = []
    for found in likelihoods_of_members(model, examples, contexts.tokenizer.pad_token_id):
        sums = iter([-mean * size for mean, size in zip(found, sizes, strict=True)])
        scored = [label_scores([next(sums) for _ in fact.choices]) for fact in facts]
        results.append(tuple(map(tuple, scored)))
    return results


def budget_for(
    tokenizer: PreTrainedTokenizerBase, facts: Sequence[Fact], form: Form = QUESTIONS
) -> int:
    """Return how many tokens answers to facts, neighbours and consequences may have."""
    texts = [
        text
        for fact in facts
        for text in (
            *fact.answers,
            *fact.old_answers,
            *(n.answers[0] for n in fact.neighbours),
            *(one.answers[0] for one in fact.consequences),
            *(hop.answers[0] for one in fact.consequences for hop in one.hops),
        )
    ]
    return answer_budget(tokenizer, texts, form)
