"""Known, maybe known or unknown: what the base knew of a fact before any training.

This is a reduced form of Gekhman et al. (arXiv 2405.05904), who divide facts into HighlyKnown,
MaybeKnown, WeaklyKnown and Unknown by greedy answers to several few-shot prompts and by 16 samples
at temperature 0.5. Here the single few-shot prompt of a run is asked greedily and with `SAMPLES`
samples:

| category | meaning |
|---|---|
| known | the greedy answer is correct |
| maybe | it is not, but at least one sampled answer is |
| unknown | no answer is correct |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from bench.inference.batch_size import rows_at_once
from bench.inference.contexts import Contexts
from bench.inference.generation import answer_budget, sampled_answers
from bench.store.knowledge import KnowledgeCategory
from tasks.context import Context
from tasks.fact import Fact
from tasks.prompt import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAMPLES = 8
TEMPERATURE = 0.5
SAMPLED_AT_ONCE = 64
"""Samples per batch on a CPU."""


def measure_knowledge(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    facts: Sequence[Fact],
    prompt: Prompt,
    answers: Sequence[str],
) -> tuple[KnowledgeCategory, ...]:
    """Return what a model knows of each fact; only facts it does not answer are sampled.

    Args:
        model: The untouched base, in evaluation mode.
        tokenizer: The base's tokenizer.
        facts: The facts to ask.
        prompt: The demonstrations before every question.
        answers: The model's greedy answers to the facts after the same demonstrations.
    """
    answered = list(zip(facts, answers, strict=True))
    asked = [fact for fact, answer in answered if not fact.accepts(answer)]
    form, contexts = prompt.form, Contexts(tokenizer, prompt)
    sampled = sampled_answers(
        model,
        tokenizer,
        [contexts.prompt(Context.FEW_SHOT, fact.question) for fact in asked],
        samples=SAMPLES,
        temperature=TEMPERATURE,
        budget=answer_budget(tokenizer, [text for fact in facts for text in fact.answers], form),
        batch_size=rows_at_once(model, on_cpu=SAMPLED_AT_ONCE),
        form=form,
    )
    found = dict.fromkeys((fact.id for fact in facts), KnowledgeCategory.KNOWN)
    for fact, said in zip(asked, sampled, strict=True):
        maybe = any(fact.accepts(answer) for answer in said)
        found[fact.id] = KnowledgeCategory.MAYBE if maybe else KnowledgeCategory.UNKNOWN
    return tuple(found[fact.id] for fact in facts)
