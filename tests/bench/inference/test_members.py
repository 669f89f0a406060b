"""Members of a stack that are asked together say what each of them says alone."""

from __future__ import annotations

import pytest
import torch

from bench.inference import decoding
from bench.inference.batch_size import halved
from bench.inference.decoding import Decoder, greedy
from bench.inference.generation import greedy_answers, greedy_answers_of_members
from bench.inference.likelihood import likelihoods_of_members, negative_log_likelihoods
from bench.inference.prefix_cache import usable_prefix
from bench.models.capabilities import members_of, own_models
from bench.optimizations import Optimization, without
from bench.stacking.model import stack_models
from tasks.prompt import question_text
from tests.bench.encoded import encode
from tests.bench.stacking.stacks import adapted, base_of
from tests.conftest import tiny_llama
from tests.counting import FACTS, Calls, shape_of_1b

PROMPTS = [
    question_text(f"{question} {'Yes? ' * (n % 3)}") for n, (question, _) in enumerate(FACTS)
]
KINDS = [{"r": 2}, {"use_dora": True}, {"use_rslora": True, "r": 8}]
STEPS = 8
ALONE = {"lora": 8503, "dora": 21943}
"""Calls of `STEPS` forced tokens for the eight facts before cells could be asked together."""


@pytest.fixture(scope="module")
def stack():
    base = base_of(tiny_llama(seed=1))
    models = [adapted(base, seed, spread=0.3, **kind) for seed, kind in enumerate(KINDS)]
    return stack_models(base.model, models)


@pytest.fixture(scope="module")
def tokenizer():
    return base_of(tiny_llama()).tokenizer


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("batch_size", [None, 3, 1])
def test_answers_are_those_of_each_alone(stack, tokenizer, share, batch_size):
    options = {"budget": 9, "batch_size": batch_size, "share": share}
    found = greedy_answers_of_members(stack, tokenizer, PROMPTS, **options)
    assert members_of(stack) == len(found) == len(KINDS)
    alone = [greedy_answers(own, tokenizer, PROMPTS, **options) for own in own_models(stack)]
    assert found == alone
    assert len({tuple(own) for own in found}) > 1, "members differ, or nothing is shown"


def test_answers_that_end_early_keep_members_equally_wide(stack, tokenizer, monkeypatch):
    """Rows are dropped only as far as every member can do without."""
    said = []
    decoder = Decoder(stack, tokenizer, PROMPTS, budget=9, share=True)
    decoder.answers(range(8), lambda logits, *_: said.append(logits.argmax(-1)) or said[-1])
    first = next(
        tokens
        for tokens in (step.view(len(KINDS), -1) for step in said[1:])
        if all(0 < (own != own[0]).sum() < 8 for own in tokens)
    )
    stops = tuple(first[:, 0].tolist())
    expected = greedy_answers_of_members(stack, tokenizer, PROMPTS, budget=9)
    monkeypatch.setattr(decoding, "stop_tokens", lambda *_: stops)
    widths = []
    hook = stack.register_forward_pre_hook(
        lambda _, __, given: widths.append(len(given["input_ids"])), with_kwargs=True
    )
    with hook:
        found = greedy_answers_of_members(stack, tokenizer, PROMPTS, budget=9)
    assert found == [greedy_answers(own, tokenizer, PROMPTS, budget=9) for own in stack.alone]
    assert found != expected
    decoded = widths[1:]  # the first is what all prompts share
    assert decoded == sorted(decoded, reverse=True)
    assert len(set(decoded)) > 1
    assert all(width % len(KINDS) == 0 for width in decoded)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_likelihoods_are_those_of_each_alone(stack, tokenizer, batch_size):
    examples = [encode(tokenizer, question_text(q), answer) for q, answer in FACTS]
    found = likelihoods_of_members(stack, examples, 0, batch_size)
    for own, model in zip(found, stack.alone, strict=True):
        alone = negative_log_likelihoods(model, examples, 0, batch_size)
        assert own == pytest.approx(alone, rel=1e-5)
    assert found[0] != pytest.approx(found[1], rel=1e-3)


def test_what_cannot_be_shared_is_asked_member_by_member(stack, tokenizer):
    with without(Optimization.SHARED_PROMPT):
        assert usable_prefix(stack, [[1, 2, 3]]) is None
        found = greedy_answers_of_members(stack, tokenizer, PROMPTS[:3], budget=4)
        alone = [greedy_answers(own, tokenizer, PROMPTS[:3], budget=4) for own in stack.alone]
    assert found == alone


def test_in_half_precision_states_are_shared_too(tokenizer):
    base = base_of(tiny_llama(seed=1).bfloat16())
    models = [adapted(base, seed, spread=0.3, **kind) for seed, kind in enumerate(KINDS)]
    contexts = [tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    prefix = usable_prefix(stack_models(base.model, models), contexts)
    assert prefix is not None
    assert prefix.cache.layers[0].keys.shape[0] == len(KINDS)


def test_half_the_rows_say_the_same(stack, tokenizer):
    rows = []
    hook = stack.register_forward_pre_hook(
        lambda _, __, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    with hook, halved(), halved(), halved():
        found = greedy_answers_of_members(stack, tokenizer, PROMPTS, budget=4)
    assert max(rows) == 4 * len(KINDS)
    assert found == greedy_answers_of_members(stack, tokenizer, PROMPTS, budget=4)


def forced(logits, step, running):
    """Say a letter that ends nothing."""
    return torch.full((len(logits),), 70 + step)


@pytest.fixture(scope="module")
def base_1b():
    return base_of(shape_of_1b())


def calls_of(model, tokenizer):
    decoder = Decoder(
        model, tokenizer, [question_text(q) for q, _ in FACTS], budget=STEPS, share=True
    )
    with Calls() as calls:
        said = decoder.answers(range(len(FACTS)), forced)
    assert all(len(answer) == STEPS for own in said for answer in own)
    return calls.total


def fused(base, kind, seed=0):
    from bench.training.fuse_adapters import fuse_projections

    model = adapted(base, seed, spread=0.1, use_dora=kind == "dora")
    tokens = torch.arange(1, 20)[None]
    assert fuse_projections(model, lambda: model(input_ids=tokens).logits) == 7 * 16
    return model


@pytest.mark.parametrize("kind", ALONE)
def test_a_cell_alone_needs_no_more_calls_than_it_did(base_1b, kind):
    found = calls_of(fused(base_1b, kind), base_1b.tokenizer)
    assert 0.5 * ALONE[kind] < found <= ALONE[kind]


@pytest.mark.parametrize(("kind", "members"), [("lora", 16), ("dora", 2)])
def test_a_cell_beside_fifteen_others_needs_an_eighth(base_1b, kind, members):
    """The calls of a stack do not depend on how many members it has."""
    dora = kind == "dora"
    models = [adapted(base_1b, seed, spread=0.1, use_dora=dora) for seed in range(members)]
    alone = calls_of(fused(base_1b, kind), base_1b.tokenizer)
    found = calls_of(stack_models(base_1b.model, models), base_1b.tokenizer)
    assert found / 16 <= alone / 8


def test_rows_of_answers_are_chosen_greedily(stack, tokenizer):
    decoder = Decoder(stack, tokenizer, PROMPTS, budget=3, share=True)
    assert [len(own) for own in decoder.answers([0, 2], greedy)] == [2] * len(KINDS)
