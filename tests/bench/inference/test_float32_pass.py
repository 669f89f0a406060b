"""A model in half precision run in float32 gives the logits of its float32 copy."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from bench.inference.float32_pass import in_float32, runs_in_float32, working_precision
from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from tests.conftest import tiny_llama

TOKENS = torch.arange(1, 25).reshape(2, 12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("adapted", [False, True])
def test_logits_are_those_of_the_float32_copy(dtype, adapted):
    model = tiny_llama().to(dtype)
    if adapted:
        config = LoraConfig(task_type="CAUSAL_LM", r=2, init_lora_weights=False)
        model = get_peft_model(model, config).eval()
    assert working_precision(model) is dtype
    assert runs_in_float32(model)
    before = {name: (p.data_ptr(), p.dtype) for name, p in model.named_parameters()}
    with torch.no_grad(), in_float32(model):
        found = model(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS)).logits
    expected = copy.deepcopy(model).float()(input_ids=TOKENS).logits
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert {name: (p.data_ptr(), p.dtype) for name, p in model.named_parameters()} == before


def test_weights_come_back_after_an_error():
    model = tiny_llama().bfloat16()

    def fail(*_):
        raise ValueError("in the middle")

    model.model.layers[1].mlp.register_forward_hook(fail)
    with pytest.raises(ValueError, match="middle"), in_float32(model):
        model(TOKENS)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert not model.model.layers[0]._forward_pre_hooks


def test_a_borrowed_model_still_shares_the_base(make_tiny):
    base = Base("tiny", "0", make_tiny().bfloat16(), None)
    loan = borrow(base)
    with torch.no_grad(), in_float32(loan.model):
        loan.model(TOKENS)
    loan.settle()
    assert not loan.changed()
    shared = [p.data_ptr() == q.data_ptr() for p, q in loan.pairs]
    assert all(shared)


def test_weights_that_are_no_plain_numbers_stay_as_they_are():
    model = tiny_llama().bfloat16()
    model.packed = nn.Parameter(torch.zeros(4, dtype=torch.uint8), requires_grad=False)
    assert not runs_in_float32(model)
    assert working_precision(tiny_llama()) is torch.float32
