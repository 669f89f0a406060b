"""A cell leaves the resident base bit-identical, whatever its adapter writes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from bench.models.copy_on_write import _sum, borrow
from tasks.errors import UsageError


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(model, before):
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), f"{name} changed"


@pytest.mark.parametrize("init", [True, "pissa", "olora"])
def test_peft_initialisations_leave_the_base_alone(tiny_base, init):
    before = snapshot(tiny_base.model)
    loan = borrow(tiny_base)
    get_peft_model(loan.model, LoraConfig(r=4, init_lora_weights=init, target_modules="all-linear"))
    loan.settle()
    touched = [p for p, own in loan.pairs if own.data_ptr() != p.data_ptr()]
    assert_same(tiny_base.model, before)
    assert len(touched) == (0 if init is True else 14), "only rewritten linears own memory"


def test_writing_in_place_while_attaching_stays_with_the_borrower(tiny_base):
    before = snapshot(tiny_base.model)
    loan = borrow(tiny_base)
    weight = loan.model.model.layers[0].mlp.up_proj.weight
    weight.data -= 1.0
    loan.settle()
    assert_same(tiny_base.model, before)
    original = tiny_base.model.model.layers[0].mlp.up_proj.weight
    assert torch.equal(weight.data, original.data - 1.0)


def test_what_will_be_trained_is_separated_before_training(tiny_base):
    before = snapshot(tiny_base.model)
    loan = borrow(tiny_base)
    loan.model.requires_grad_(True)
    loan.settle()
    with torch.no_grad():
        for parameter in loan.model.parameters():
            parameter.add_(1.0)
    assert_same(tiny_base.model, before)


def test_untouched_weights_share_memory_and_ties_stay_tied(tiny_base):
    loan = borrow(tiny_base)
    loan.settle()
    assert all(own.data_ptr() == pristine.data_ptr() for pristine, own in loan.pairs)
    assert loan.model.lm_head.weight is loan.model.model.embed_tokens.weight
    assert not any(p.requires_grad for p in tiny_base.model.parameters())


def cut(model, *targets):
    """Start LoRA by PiSSA, which writes to the weights of its targets."""
    config = LoraConfig(r=4, init_lora_weights="pissa", target_modules=list(targets))
    return get_peft_model(model, config)


def test_a_start_that_changes_a_tied_weight_is_one_line(tiny_base):
    loan = borrow(tiny_base)
    cut(loan.model, "lm_head", "q_proj")
    with pytest.raises(UsageError, match=r"'lm_head', which 'model\.embed_tokens' shares") as error:
        loan.settle()
    assert "\n" not in str(error.value)


def test_a_head_of_its_own_may_be_cut(tiny_base, make_tiny):
    loan = borrow(replace(tiny_base, model=make_tiny(tied=False)))
    cut(loan.model, "lm_head", "q_proj")
    loan.settle()


def test_lora_on_a_tied_head_changes_no_weight(tiny_base):
    loan = borrow(tiny_base)
    get_peft_model(loan.model, LoraConfig(r=4, target_modules=["lm_head", "q_proj"]))
    loan.settle()


@pytest.mark.parametrize("by", [1.0, 1e-6])
def test_a_frozen_weight_that_changes_after_settling_is_named(tiny_base, by):
    loan = borrow(tiny_base)
    model = cut(loan.model, "q_proj")
    loan.settle()
    assert loan.changed() == []
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 1.0
    assert loan.changed() == []
    layers = model.base_model.model.model.layers
    layers[1].mlp.up_proj.weight.data[3, 2] += by
    layers[0].self_attn.q_proj.base_layer.weight.data[3, 2] += by
    assert loan.changed() == [
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.1.mlp.up_proj.weight",
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int8])
@pytest.mark.parametrize("size", [1, 5, 8, 1001])
def test_a_checksum_sees_every_element(dtype, size):
    values = (torch.arange(size + 3) % 100).to(dtype)
    tensor = torch.nn.Parameter(values[3:], requires_grad=False)
    before = _sum(tensor)
    assert before == _sum(torch.nn.Parameter(values[3:].clone(), requires_grad=False))
    for place in {0, size // 2, size - 1}:
        tensor.data[place] += 1
        assert _sum(tensor) != before
        tensor.data[place] -= 1
