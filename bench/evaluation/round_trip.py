"""Whether the answers that are trained can be given back, found out before anything is trained.

A target is learned token by token and answered token by token, up to a stop and a budget. What is
lost on this way (a tokenizer that drops a character, a stop within the answer, too many tokens, a
prompt that does not fit the model) would be trained and then counted as not learned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench.evaluation.responses import budget_for
from bench.inference.contexts import Contexts
from bench.inference.decoding import answer_texts, stop_tokens
from bench.inference.encoding import token_ids
from bench.models.loading import Base
from bench.models.shape import context_window, refuse_long_windows
from bench.store.cost_cache import CostCache
from tasks.errors import UsageError
from tasks.fact import Fact, facts_digest
from tasks.form import QUESTIONS, Form
from tasks.prompt import target_text
from tasks.row import quoted

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_NAMED = 3
"""How many facts one error names."""


@dataclass(frozen=True)
class Asked:
    """One way in which questions are put.

    Attributes:
        prompt: Returns the whole prompt of a question.
        target: Returns the continuation that stands for an answer.
        form: Says where an answer ends, and how long it may be.
    """

    prompt: Callable[[str], str]
    target: Callable[[str], str] = target_text
    form: Form = QUESTIONS


def refuse_unanswerable(
    base: Base, facts: Sequence[Fact], contexts: Contexts, cache: CostCache
) -> None:
    """Refuse facts whose answers a model cannot give back, once for all cells of model and task.

    Args:
        base: The base that is trained.
        facts: The facts of a cell.
        contexts: How they are asked.
        cache: The cache that the cells of a process share.

    Raises:
        UsageError: There are such facts, of which one line names the first and why; or texts are
            packed into longer windows than the model reads.
    """
    window = context_window(base.model.config)
    refuse_long_windows(contexts.form.window, window, base.name)
    facts = [fact for fact in facts if not fact.is_text]
    if not facts:
        return
    ways = [
        Asked(partial(contexts.prompt, context), partial(contexts.target, context), contexts.form)
        for context in contexts.available
    ]
    shown = contexts.demonstrations.digest
    key = ("round trip", base.name, base.revision, facts_digest(facts), shown)
    problems = cache.get(key, lambda: unanswerable(base.tokenizer, facts, ways, window))
    if problems:
        more = len(problems) - MOST_NAMED
        named = [*problems[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])]
        raise UsageError(
            f"{base.name} cannot be trained on {len(problems)} of {len(facts)} facts: "
            f"{'; '.join(named)}"
        )


def unanswerable(
    tokenizer: PreTrainedTokenizerBase,
    facts: Sequence[Fact],
    ways: Sequence[Asked],
    window: int | None,
) -> list[str]:
    """Return the facts that cannot be trained and scored, each with the reason, in their order.

    Args:
        tokenizer: The base's tokenizer.
        facts: The facts.
        ways: The ways in which they are trained and asked.
        window: Most tokens of prompt and answer together; None: no bound.
    """
    problems: dict[int, str] = {}
    for way in ways:
        lost = _lost(tokenizer, facts, way)
        if window is not None:
            lost = {**_too_long(tokenizer, facts, way, window), **lost}
        problems = {**lost, **problems}
    return [f"{quoted(facts[index].question)}: {problems[index]}" for index in sorted(problems)]


def _lost(tokenizer: PreTrainedTokenizerBase, facts: Sequence[Fact], way: Asked) -> dict[int, str]:
    """Return why targets do not come back, by the index of the fact."""
    stops, longest = {*stop_tokens(tokenizer, way.form.stop)}, way.form.longest
    targets = token_ids(tokenizer, [way.target(fact.target) for fact in facts], special=False)
    spoken = [_up_to_stop(tokens, stops) for tokens in targets]
    said = answer_texts(tokenizer, spoken, way.form.stop)
    problems: dict[int, str] = {}
    for index, (fact, tokens, text) in enumerate(zip(facts, targets, said, strict=True)):
        if len(tokens) > longest:
            problems[index] = (
                f"the answer has {len(tokens)} tokens, and at most {longest} are generated"
            )
        elif tokens and tokens[0] in stops:
            problems[index] = f"the answer {quoted(fact.target)} begins with a token that ends it"
        elif not fact.accepts(text):
            problems[index] = f"the answer {quoted(fact.target)} comes back as {quoted(text)}"
    return problems


def _up_to_stop(tokens: Sequence[int], stops: set[int]) -> Sequence[int]:
    """Return what is generated of a target: at least one token, then up to the first stop."""
    end = next((place for place, token in enumerate(tokens) if place and token in stops), None)
    return tokens if end is None else tokens[: end + 1]


def _too_long(
    tokenizer: PreTrainedTokenizerBase, facts: Sequence[Fact], way: Asked, window: int
) -> dict[int, str]:
    """Return which facts do not fit the model, by their index."""
    budget = budget_for(tokenizer, facts, way.form)  # every answer may get as long as the longest
    texts = [(index, way.prompt(text)) for index, text in _asked(facts)]
    # Most tokens have several bytes and hardly any has less than one: short prompts surely fit.
    texts = [
        (index, text)
        for index, text in texts
        if 2 * len(text.encode(errors="replace")) + budget > window
    ]
    prompts = token_ids(tokenizer, [text for _, text in texts])
    longest: dict[int, int] = {}
    for (index, _), tokens in zip(texts, prompts, strict=True):
        longest[index] = max(longest.get(index, 0), len(tokens))
    return {
        index: f"the prompt has {size} tokens and its answer up to {budget}, but the model "
        f"reads at most {window}"
        for index, size in longest.items()
        if size + budget > window
    }


def _asked(facts: Sequence[Fact]) -> Iterator[tuple[int, str]]:
    """Yield every question with the index of its fact."""
    for index, fact in enumerate(facts):
        yield index, fact.question
        for text in fact.paraphrases:
            yield index, text
        for neighbour in fact.neighbours:
            yield index, neighbour.question
