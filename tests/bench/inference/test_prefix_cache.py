"""Cached states are used where they give the logits of a whole pass, in any dtype."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.inference.encoding import Example
from bench.inference.float32_head import install_head
from bench.inference.likelihood import negative_log_likelihoods
from bench.inference.prefix_cache import run_prefix, states_agree, usable_prefix
from tests.bench.architectures import MAKERS, random_model
from tests.bench.device_errors import ERRORS, failing
from tests.conftest import tiny_llama

SHARED = list(range(1, 31))
CONTEXTS = [[*SHARED, 40, 41, 42], [*SHARED, 50, 51], [*SHARED, 60, 61, 62, 63]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", MAKERS)
def test_states_that_continue_a_prompt_are_used(name, dtype):
    model = random_model(name, std=0.1).to(dtype)
    install_head(model)
    prefix = usable_prefix(model, CONTEXTS)
    if name == "qwen3_next":  # linear attention has states of another kind
        assert prefix is None
        return
    assert prefix.tokens == len(prefix.ids) == len(SHARED)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_reads_its_states_a_little_wrongly_is_found(dtype):
    """Its error is below what bfloat16 rounds, and there whatever the dtype."""
    model = tiny_llama().to(dtype)
    prefix = run_prefix(model, CONTEXTS)
    assert states_agree(model, CONTEXTS[0], prefix)

    class Slips(nn.Module):
        """Runs a model with values that are a fifth too large."""

        def __init__(self, inner):
            super().__init__()
            self.inner, self.config = inner, inner.config

        def forward(self, input_ids, past_key_values=None, **options):
            if past_key_values is not None and past_key_values.get_seq_length():
                for layer in past_key_values.layers:
                    layer.values = layer.values * 1.2
            return self.inner(input_ids, past_key_values=past_key_values, **options)

    assert not states_agree(Slips(model), CONTEXTS[0], prefix)


@pytest.mark.parametrize(("error", "raised"), ERRORS)
def test_errors_of_memory_and_device_are_not_taken_for_a_refusal(error, raised):
    model = tiny_llama()
    model.model.layers[1].register_forward_pre_hook(failing(error))
    if not raised:
        assert usable_prefix(model, CONTEXTS) is None
        return
    with pytest.raises(type(error)):
        usable_prefix(model, CONTEXTS)


def test_the_likelihood_of_one_example_takes_one_pass():
    model = tiny_llama()
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    long = Example(tuple(range(3, 43)), 38)
    [alone] = negative_log_likelihoods(model, [long], pad=0)
    assert len(passes) == 1
    beside = negative_log_likelihoods(model, [long, Example(tuple(range(3, 44)), 38)], pad=0)
    assert len(passes) > 2, "two share their prompt"
    assert alone == pytest.approx(beside[0], rel=1e-5)
