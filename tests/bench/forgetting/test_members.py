"""What members of a stack forgot, measured together and each alone."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from bench.config.types import Checkpoints
from bench.forgetting.drift import Drift
from bench.forgetting.lm_eval_model import SharedPrefixLM
from bench.forgetting.lm_eval_task import knowledge_harness_task
from bench.forgetting.path import ForgettingPath, measure_paths_together
from bench.forgetting.suite import ForgettingSuite
from bench.optimizations import Optimization, without
from bench.stacking.model import stack_models
from bench.store.cost_cache import CostCache
from tasks.fact import Fact
from tasks.prompt import Prompt
from tests.bench.stacking.stacks import adapted, base_of
from tests.conftest import tiny_llama

PROMPT = Prompt((("What is two plus two?", "four"), ("Is ice cold?", "yes")))
NAMES = ("iron", "gold", "neon", "zinc")
CHOICE = [
    Fact(f"e{i}", f"What is the symbol of {n}?", (n[:2],), choices=("Xx", n[:2], "Q"))
    for i, n in enumerate(NAMES)
]
OPEN = [Fact(f"o{i}", f"Capital of land {i}?", (f"city {i}",)) for i in range(3)]
NOISE = 1e-7
"""Nats by which a mean over float32 log-likelihoods is uncertain."""

KINDS = [{"r": 2}, {"use_dora": True}, {"use_rslora": True, "r": 8}]


@pytest.fixture(scope="module")
def base():
    return base_of(tiny_llama(seed=1))


@pytest.fixture(scope="module")
def stack(base):
    models = [adapted(base, seed, spread=0.3, **kind) for seed, kind in enumerate(KINDS)]
    return stack_models(base.model, models)


def test_drift_is_that_of_each_alone(base, stack):
    drift = Drift(sequences=9, cache=CostCache())
    found = drift.score_together(base, stack)
    alone = [drift.score(base, own) for own in stack.alone]
    for one, other in zip(found, alone, strict=True):
        assert one.items == pytest.approx(other.items, rel=1e-5, abs=NOISE)
        assert (one.digest, len(one.items)) == (other.digest, 9)
    assert found[0].mean != pytest.approx(found[1].mean, rel=1e-2)
    points = drift.at_checkpoint_together(base, stack)
    own = [drift.at_checkpoint(base, model) for model in stack.alone]
    assert points == pytest.approx(own, rel=1e-5, abs=NOISE)


@pytest.fixture
def passes(stack):
    """Count the forward passes of the stack and of its members' own models."""
    counts = {"together": 0, "alone": 0}

    def count(name):
        return lambda *_: counts.__setitem__(name, counts[name] + 1)

    hooks = [stack.register_forward_pre_hook(count("together"))]
    hooks += [own.register_forward_pre_hook(count("alone")) for own in stack.alone]
    yield counts
    for hook in hooks:
        hook.remove()


def requests():
    contexts = [[*range(1, 40), n] for n in (50, 51, 52)]
    return [(("", ""), context, [60 + e, 61, 62]) for context in contexts for e in range(3)]


@pytest.mark.parametrize("share", [True, False])
def test_likelihoods_of_requests_are_those_of_each_alone(base, stack, passes, share):
    views = SharedPrefixLM(base, 16).of_members(stack)

    def ask():
        together = [view._loglikelihood_tokens(requests()) for view in views]
        counted = dict(passes)
        alone = [view.around(own) for view, own in zip(views, stack.alone, strict=True)]
        return (
            together,
            [SharedPrefixLM._loglikelihood_tokens(v, requests()) for v in alone],
            counted,
        )

    if share:
        together, alone, counted = ask()
        assert counted["together"] == 2  # the shared prefix, and one batch
    else:
        with without(Optimization.SHARED_PROMPT):
            together, alone, _ = ask()
    for one, other in zip(together, alone, strict=True):
        assert [score for score, _ in one] == pytest.approx([s for s, _ in other], rel=1e-5)
        assert [greedy for _, greedy in one] == [greedy for _, greedy in other]
    assert together[0] != together[1]


@pytest.mark.parametrize("facts", [CHOICE, OPEN], ids=["choice", "generation"])
def test_items_are_those_of_each_alone(base, stack, passes, facts):
    task = knowledge_harness_task("elements", facts, PROMPT)
    found = task.score_together(base, stack)
    together = passes["together"]
    assert together > 0
    alone = [task.score(base, own) for own in stack.alone]
    assert passes["together"] == together, "members alone are not asked through the stack"
    assert found == alone


def test_generated_texts_are_those_of_each_alone(base, stack, passes):
    views = SharedPrefixLM(base, 16).of_members(stack)
    context = torch.tensor([[0, 0, *range(1, 9)], list(range(1, 11))])
    mask = torch.tensor([[0, 0, *[1] * 8], [1] * 10])
    given = {"context": context, "max_length": 16, "stop": ["\n\n"], "attention_mask": mask}
    found = [view._model_generate(**given) for view in views]
    counted = dict(passes)
    assert counted["together"] == 6
    assert not counted["alone"]
    assert len({tuple(said.flatten().tolist()) for said in found}) > 1
    for said, view, own in zip(found, views, stack.alone, strict=True):
        expected = SharedPrefixLM.around(view, own)
        alone = super(SharedPrefixLM, expected)._model_generate(**given)
        assert torch.equal(said[:, : alone.shape[1]], alone)


def test_a_suite_pairs_every_member_with_the_base(base, stack):
    cache = CostCache()
    tasks = [knowledge_harness_task("elements", CHOICE, PROMPT), Drift(2, cache)]
    suite = ForgettingSuite(tasks, base, 2, cache)
    found = suite.measure_together(stack)
    assert [[one.task for one in own] for own in found] == [["elements", "drift"]] * len(KINDS)
    for own, model in zip(found, stack.alone, strict=True):
        for one, other in zip(own, suite.measure(model), strict=True):
            assert one.tuned_items == pytest.approx(other.tuned_items, rel=1e-5, abs=NOISE)
            assert one.base_items == other.base_items


@pytest.mark.parametrize("checkpoints", [Checkpoints.DRIFT, Checkpoints.ALL, Checkpoints.LAST])
def test_paths_of_members_are_those_of_each_alone(base, stack, checkpoints):
    cache = CostCache()
    suite = ForgettingSuite(
        [knowledge_harness_task("e", CHOICE, PROMPT), Drift(9, cache)], base, 9, cache
    )

    def path(model):
        return ForgettingPath(suite, model, checkpoints, nullcontext)

    few = stack.subset([2, 0])
    together, alone = [path(own) for own in few.alone], [path(own) for own in few.alone]
    measure_paths_together(together, few, [3, 1], nullcontext)
    for own, epoch in zip(alone, [3, 1], strict=True):
        own.measure(epoch)
    for one, other in zip(together, alone, strict=True):
        found, expected = one._points, other._points
        assert len(found) == len(expected) == int(checkpoints is not Checkpoints.LAST)
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours.epoch, ours.forgetting) == (theirs.epoch, theirs.forgetting)
            assert ours.drift == pytest.approx(theirs.drift, rel=1e-5, abs=NOISE)
