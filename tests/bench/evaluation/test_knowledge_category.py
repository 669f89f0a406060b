"""Sampled answers and what they say of a base: known, maybe known, unknown."""

from __future__ import annotations

import pytest
import torch

from bench.evaluation.knowledge_category import SAMPLES, TEMPERATURE, measure_knowledge
from bench.evaluation.signals import BaseSignals
from bench.inference.decoding import Sampling
from bench.inference.generation import greedy_answers, sampled_answers
from bench.store.cost_cache import CostCache
from bench.store.knowledge import KnowledgeCategory
from tasks.fact import Fact
from tasks.prompt import BUILT_IN, Prompt

PROMPT = Prompt(BUILT_IN)
QUESTIONS = [f"What is {'very ' * number}small?" for number in range(5)]
PROMPTS = [PROMPT.few_shot(question) for question in QUESTIONS]


def sample(base, prompts, **changes):
    given = {"samples": 3, "temperature": 0.5, "budget": 6, "batch_size": 6}
    return sampled_answers(base.model, base.tokenizer, prompts, **{**given, **changes})


def fact(number, answer):
    return Fact(id=str(number), question=QUESTIONS[number], answers=(answer,))


def test_sharing_states_changes_no_sample(tiny_base):
    shared = sample(tiny_base, PROMPTS)
    assert shared == sample(tiny_base, PROMPTS, share=False)
    assert {len(samples) for samples in shared} == {3}
    assert len({text for samples in shared for text in samples}) > len(PROMPTS), "samples differ"


def test_a_sample_hangs_on_its_prompt_alone(tiny_base):
    together = sample(tiny_base, PROMPTS)
    torch.manual_seed(123)
    assert sample(tiny_base, PROMPTS[::-1], batch_size=1)[::-1] == together
    # One prompt shares no prefix with others but its own tokens: the plain path.
    assert sample(tiny_base, PROMPTS[3:4]) == together[3:4]
    more = sample(tiny_base, PROMPTS, samples=5)
    assert [samples[:3] for samples in more] == together


def test_cold_samples_are_the_greedy_answer(tiny_base):
    greedy = greedy_answers(tiny_base.model, tiny_base.tokenizer, PROMPTS, budget=6)
    assert sample(tiny_base, PROMPTS, temperature=1e-4) == [(answer,) * 3 for answer in greedy]


def test_the_model_sees_no_text_twice(tiny_base, monkeypatch):
    seen: list[int] = []
    forward = tiny_base.model.forward

    def count(**inputs):
        if "attention_mask" in inputs:
            seen.append(len(inputs["input_ids"]))
        return forward(**inputs)

    monkeypatch.setattr(tiny_base.model, "forward", count)
    assert sample(tiny_base, PROMPTS, temperature=1e-4, batch_size=99)
    assert seen[0] == len(PROMPTS)
    assert max(seen) == len(PROMPTS), "samples that agree are one row"


def test_no_prompt_has_no_samples(tiny_base):
    assert sample(tiny_base, []) == []


def test_tokens_are_drawn_as_often_as_the_softmax_says():
    logits = torch.tensor([[0.0, 2.0, -torch.inf, 1.0]])
    draws = torch.linspace(0, 1, 10_001)[:-1, None]
    everyone = torch.ones(len(draws), dtype=torch.bool)
    tokens = Sampling(0.5, draws)(logits.expand(len(draws), -1), 0, everyone)
    shares = torch.bincount(tokens, minlength=4) / len(draws)
    assert shares[2] == 0
    assert shares.tolist() == pytest.approx((logits[0] / 0.5).softmax(-1).tolist(), abs=2e-4)


def test_known_maybe_and_unknown_are_told_apart(tiny_base, monkeypatch):
    monkeypatch.setattr("bench.evaluation.knowledge_category.answer_budget", lambda *_: 6)
    greedy = greedy_answers(tiny_base.model, tiny_base.tokenizer, PROMPTS, budget=6)
    drawn = sample(tiny_base, PROMPTS, samples=SAMPLES, temperature=TEMPERATURE)
    facts = [fact(0, greedy[0]), fact(1, drawn[1][-1]), fact(2, "never said")]
    found = measure_knowledge(tiny_base.model, tiny_base.tokenizer, facts, PROMPT, greedy[:3])
    assert found == (KnowledgeCategory.KNOWN, KnowledgeCategory.MAYBE, KnowledgeCategory.UNKNOWN)


def test_known_facts_are_not_sampled(tiny_base, monkeypatch):
    asked: list[str] = []

    def answer(model, tokenizer, prompts, **kwargs):
        asked.extend(prompts)
        return [("b",)] * len(prompts)

    monkeypatch.setattr("bench.evaluation.knowledge_category.sampled_answers", answer)
    facts = [fact(0, "y"), fact(1, "b"), fact(2, "c")]
    arguments = (tiny_base.model, tiny_base.tokenizer, facts, PROMPT, ["Y.", "y", "y"])
    assert measure_knowledge(*arguments) == ("known", "maybe", "unknown")
    assert asked == PROMPTS[1:3]


def test_it_is_measured_once_and_charged_to_every_cell(tiny_base, monkeypatch):
    runs: list[int] = []
    monkeypatch.setattr(
        "bench.evaluation.signals.measure_knowledge",
        lambda *_: runs.append(1) or (KnowledgeCategory.UNKNOWN,) * 2,
    )
    cache = CostCache()
    for _ in range(2):
        cache.start_cell()
        signals = BaseSignals(tiny_base, (fact(0, "a"), fact(1, "b")), PROMPT, cache)
        assert signals.knowledge == (KnowledgeCategory.UNKNOWN,) * 2
    assert len(runs) == 1
    assert cache.saved > 0, "the second cell is charged what the first one spent"
