"""Full fine-tuning of a bfloat16 base: float32 where it trains, the base's dtype elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM

from methods.adapters.full import Full


@pytest.fixture
def half(tiny_base):
    for parameter in tiny_base.model.parameters():  # and not the buffers, as transformers loads
        parameter.data = parameter.data.bfloat16()
    return tiny_base


def test_float32_is_held_of_the_chosen_weights_alone(cases, half):
    cell = cases.attach(half, Full(), layers=(1,))
    pristine = dict(half.model.named_parameters())
    for name, parameter in cell.model.named_parameters():
        trained = "layers.1." in name
        assert parameter.dtype == (torch.float32 if trained else torch.bfloat16), name
        assert (parameter.data_ptr() == pristine[name].data_ptr()) != trained, name


def test_before_training_the_answers_are_the_bases_bit_for_bit(cases, half):
    for layers in (None, (0,)):
        cell = cases.attach(half, Full(), layers=layers)
        assert torch.equal(cell.logits(), cases.logits_of(half.model))


def test_what_is_evaluated_is_what_is_saved_at_every_state_of_training(cases, half, tmp_path):
    cell, seen = cases.attach(half, Full()), []
    for step in range(3):
        cell.train(steps=1)
        folder = cell.save(tmp_path / str(step))
        loaded = AutoModelForCausalLM.from_pretrained(folder)
        assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
        seen.append(cell.logits())
        assert torch.equal(seen[-1], cases.logits_of(loaded))
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_evaluating_leaves_training_as_it_is(cases, half):
    def trained(evaluated):
        cell = cases.attach(half, Full())
        for _ in range(3):
            cell.train(steps=1)
            if evaluated:
                cell.logits()
        return [p.detach().clone() for p in cell.model.parameters() if p.requires_grad]

    pairs = list(zip(trained(True), trained(False), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert {a.dtype for a, _ in pairs} == {torch.float32}


def test_a_token_does_not_round_every_weight_again(cases, half):
    cell = cases.attach(half, Full())
    sizes = {tuple(p.shape) for p in cell.model.parameters() if p.dim() == 2}
    with _Rounded(sizes) as first:
        cell.logits()
    with _Rounded(sizes) as second:
        cell.logits()
    assert first.count == sum(p.dim() == 2 for p in cell.model.parameters())
    assert second.count == 0


class _Rounded(TorchDispatchMode):
    """Counts conversions of tensors in the shapes of weights."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes, self.count = sizes, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if func.overloadpacket is torch.ops.aten._to_copy:
            self.count += tuple(made.shape) in self.sizes
        return made
