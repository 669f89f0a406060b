"""A cell leaves the resident base bit-identical, whatever its adapter writes."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from bench.models.copy_on_write import borrow


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
