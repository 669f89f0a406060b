"""Endings scored side by side score as they do alone."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.forgetting import choice_scoring as module
from bench.forgetting.choice_scoring import ContextChoices, branch_scores, branches_agree, grouped
from bench.inference.float32_head import install_head
from bench.inference.prefix_cache import run_prefix
from tests.bench.architectures import MAKERS, random_model
from tests.bench.device_errors import ERRORS
from tests.conftest import tiny_llama

MODEL = tiny_llama(seed=3)
PREFIX = list(range(1, 31))
texts = st.lists(st.integers(1, 256), min_size=1, max_size=6)


def alone(context, ending):
    logits = MODEL(torch.tensor([[*PREFIX, *context, *ending]])).logits[0].log_softmax(-1)
    predicted = logits[len(PREFIX) + len(context) - 1 : -1]
    target = torch.tensor(ending)
    likelihood = predicted.gather(-1, target[:, None]).sum().item()
    return likelihood, bool((predicted.argmax(-1) == target).all())


def requests_of(pairs):
    return [(("", ""), [*PREFIX, *context], list(ending)) for context, ending in pairs]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=2, max_size=8), st.integers(1, 4), st.booleans())
def test_scores_are_those_of_one_pass_each(pairs, batch_size, with_prefix):
    pairs = [*pairs, (pairs[0][0], pairs[1][1]), pairs[0]]  # a context twice, a request twice
    requests = requests_of(pairs)
    contexts = [context for _, context, _ in requests]
    prefix = run_prefix(MODEL, contexts if with_prefix else [PREFIX[:5]])
    shared = prefix.tokens
    assert bool(shared) == with_prefix
    [found] = branch_scores(MODEL, prefix, grouped(requests, shared), batch_size)
    assert sorted(found) == list(range(len(pairs)))
    for number, (context, ending) in enumerate(pairs):
        likelihood, greedy = alone(context, ending)
        assert found[number][0] == pytest.approx(likelihood, abs=1e-4)
        assert found[number][1] == greedy


def test_contexts_and_endings_are_run_once():
    pairs = [([1, 2], [3, 4]), ([1, 2], [3, 5]), ([9], [3, 4]), ([1, 2], [3, 4])]
    assert grouped(requests_of(pairs), len(PREFIX)) == [
        ContextChoices((1, 2), ((3, 4), (3, 5)), ((0, 3), (1,))),
        ContextChoices((9,), ((3, 4),), ((2,),)),
    ]


def test_batches_keep_within_the_bound_on_logits(monkeypatch):
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 257 * 6)
    branches = grouped(requests_of([([1], [1, 2, 3, n]) for n in range(5)]), len(PREFIX))
    many = grouped(requests_of([([n], [1, 2]) for n in range(7)]), len(PREFIX))
    fitting = partial(module._rows, MODEL, run_prefix(MODEL, [PREFIX]), 4)
    sizes = [len(batch) for batch in module._batches([*branches, *many], fitting)]
    assert sizes == [1, 3, 3, 1]


class Deaf(nn.Module):
    """Attends as it always does, whatever mask it is given."""

    def __init__(self, model, error=None):
        super().__init__()
        self.model, self.error = model, error

    def forward(self, input_ids, attention_mask=None, **options):
        if attention_mask is not None and self.error is not None:
            raise self.error
        return self.model(input_ids, **options)


@pytest.mark.parametrize("error", [None, ValueError("no such mask"), RuntimeError("shape")])
def test_a_model_that_takes_no_mask_of_ours_is_found_by_measuring(error):
    requests = requests_of([([7, 8], [1, 2, 3]), ([7, 8], [4, 5, 6])])
    contexts = [context for _, context, _ in requests]
    prefix = run_prefix(MODEL, [*contexts, [*PREFIX, 9]])
    branches = grouped(requests, prefix.tokens)
    assert branches_agree(MODEL, prefix, branches)
    assert not branches_agree(Deaf(MODEL, error), prefix, branches)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", [name for name in MAKERS if name != "qwen3_next"])
def test_endings_are_scored_side_by_side_in_half_precision_too(name, dtype):
    model = random_model(name).to(dtype)
    install_head(model)
    requests = requests_of([([7, 8, 9], [1, 2, 3]), ([7, 8, 9], [4, 5, 6])])
    prefix = run_prefix(model, [context for _, context, _ in requests])
    branches = grouped(requests, prefix.tokens)
    assert branches_agree(model, prefix, branches)


@pytest.mark.parametrize(("error", "raised"), ERRORS)
def test_errors_of_memory_and_device_are_not_taken_for_a_refusal(error, raised):
    requests = requests_of([([7, 8], [1, 2, 3]), ([7, 8], [4, 5, 6])])
    prefix = run_prefix(MODEL, [context for _, context, _ in requests])
    model = Deaf(MODEL, error)
    if not raised:
        assert not branches_agree(model, prefix, grouped(requests, prefix.tokens))
        return
    with pytest.raises(type(error)):
        branches_agree(model, prefix, grouped(requests, prefix.tokens))
