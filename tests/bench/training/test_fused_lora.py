"""Fused projections give PEFT's numbers: outputs, gradients and trained weights."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode

from bench.inference.encoding import collate
from bench.inference.likelihood import fact_losses, target_logits
from bench.optimizations import Optimization, without
from bench.training import fuse_adapters as fusing
from bench.training.fuse_adapters import fuse_projections
from tests.bench.encoded import encode
from tests.conftest import tiny_llama

TOKENS = torch.arange(1, 61).reshape(3, 20)
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapted(dtype=torch.float32, **options):
    """A model with an adapter whose B is not zero, so that everything has a gradient."""
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, target_modules=MODULES, **options)
    model = get_peft_model(tiny_llama(seed=5).to(dtype), config)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1, generator=generator)
        if "magnitude" in name:
            parameter.data.mul_(1 + 0.2 * torch.rand(parameter.shape, generator=generator))
    return model.eval()


def fused(model):
    model = copy.deepcopy(model)
    count = fuse_projections(model, lambda: model(TOKENS).logits)
    return model, count


def gradients(model):
    torch.manual_seed(0)
    logits = model(TOKENS).logits
    (
        logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    ).sum().backward()
    return logits.detach(), {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"use_rslora": True}])
def test_outputs_and_gradients_are_pefts(options):
    plain = adapted(**options)
    ours, count = fused(plain)
    assert count == 2 * len(MODULES)
    expected, expected_gradients = gradients(plain)
    found, found_gradients = gradients(ours)
    assert torch.allclose(found, expected, atol=1e-5)
    assert found_gradients.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        assert gradient.abs().max() > 0, name
        assert torch.allclose(found_gradients[name], gradient, rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("options", [{}, {"use_dora": True}])
def test_half_precision_bases_agree_to_their_rounding(options):
    plain = adapted(torch.bfloat16, **options)
    ours, count = fused(plain)
    assert count == 2 * len(MODULES)
    expected, expected_gradients = gradients(plain)
    found, found_gradients = gradients(ours)
    assert found.dtype == expected.dtype
    assert (found - expected).norm() < 0.02 * expected.norm()
    for name, gradient in expected_gradients.items():
        assert found_gradients[name].dtype == gradient.dtype == torch.float32
        assert (found_gradients[name] - gradient).norm() < 0.05 * gradient.norm(), name


@pytest.mark.parametrize("options", [{}, {"use_dora": True}])
def test_all_operations_are_counted(options):
    """To 2 %: PEFT's DoRA forms B A, ours the smaller W A^T."""
    counts = []
    plain = adapted(**options)
    for model in (plain, fused(plain)[0]):
        with FlopCounterMode(display=False) as counter:
            gradients(model)
        counts.append(counter.get_total_flops())
    if options:
        assert 0.5 * counts[0] < counts[1] < counts[0]
    else:
        assert counts[1] == pytest.approx(counts[0], rel=0.02)


def test_projections_of_one_input_are_one_step(monkeypatch):
    sizes = []
    project = fusing.project
    monkeypatch.setattr(fusing, "project", lambda x, p: sizes.append(len(p)) or project(x, p))
    model, _ = fused(adapted())
    sizes.clear()
    model(TOKENS)
    assert sizes == [3, 1, 2, 1] * 2


def test_biases_and_frozen_inputs_are_kept():
    torch.manual_seed(0)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = torch.nn.Linear(6, 5), torch.nn.Linear(6, 3)
            self.three = torch.nn.Linear(5, 4)

        def forward(self, x):
            return self.three(self.one(x).tanh()), self.two(x)

    x = torch.randn(7, 6)
    for options in ({}, {"use_dora": True}):
        config = LoraConfig(
            r=2, target_modules=["one", "two", "three"], init_lora_weights=False, **options
        )
        plain = get_peft_model(copy.deepcopy(Model()), config)
        ours = copy.deepcopy(plain)
        assert fuse_projections(ours, lambda m=ours: m(x)[0]) == 3
        for model in (plain, ours):
            first, second = model(x)
            (first.square().sum() + second.square().sum()).backward()
        pairs = zip(plain.named_parameters(), ours.parameters(), strict=True)
        for (name, expected), found in pairs:
            if expected.requires_grad:
                assert torch.allclose(found.grad, expected.grad, atol=1e-4, rtol=1e-3), name


def test_disabled_and_merged_adapters_take_pefts_way():
    plain = adapted()
    ours, _ = fused(plain)
    with plain.disable_adapter(), ours.disable_adapter():
        assert torch.equal(ours(TOKENS).logits, plain(TOKENS).logits)
    ours.merge_adapter()
    assert torch.allclose(ours(TOKENS).logits, plain(TOKENS).logits, atol=1e-5)
    ours.unmerge_adapter()


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"lora_bias": True}])
def test_what_is_not_plain_is_left_to_peft(options):
    model = adapted(**options)
    assert fused(model)[1] == 0


def test_a_model_that_would_say_something_else_is_left_alone(monkeypatch):
    monkeypatch.setattr(
        fusing, "project", lambda x, p: tuple(x.new_ones(*x.shape[:-1], len(e.weight)) for e in p)
    )
    plain = adapted()
    ours, count = fused(plain)
    assert count == 0
    assert torch.equal(ours(TOKENS).logits, plain(TOKENS).logits)


def test_the_shortcut_can_be_switched_off():
    with without(Optimization.FUSED_PROJECTIONS):
        assert fused(adapted())[1] == 0
    with without():
        assert fused(adapted())[1] == 0


@pytest.mark.parametrize("options", [{}, {"use_dora": True}])
def test_twenty_steps_end_at_the_same_weights(options, tiny_base):
    examples = [encode(tiny_base.tokenizer, f"Question: {n}?\nAnswer:", str(n)) for n in range(4)]
    batch = collate(examples, range(4), 0)
    ends = []
    for model in (adapted(**options), fused(adapted(**options))[0]):
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=0.05)
        for _ in range(20):
            losses, _ = fact_losses(target_logits(model, batch), batch.labels)
            optimizer.zero_grad()
            losses.mean().backward()
            optimizer.step()
        ends.append((losses.mean().item(), [p.detach() for p in trained]))
    assert ends[1][0] == pytest.approx(ends[0][0], abs=1e-5)
    for expected, found in zip(ends[0][1], ends[1][1], strict=True):
        assert torch.allclose(found, expected, atol=1e-4)
