"""Every method that adapts with low-rank factors can be stacked, beside any other."""

from __future__ import annotations

import json

import pytest
import torch

from bench.stacking.layers import why_alone
from bench.stacking.model import stack_models
from bench.stacking.train import train_together
from bench.training.loop import train
from methods.recipe import parse_recipe
from tests.bench.stacking.stacks import base_of
from tests.bench.stacking.test_train import assert_same, make_plan
from tests.conftest import tiny_llama
from tests.methods.conftest import attach

METHODS = [
    "lora[r=4]",
    "rslora[r=8,alpha=4]",
    "dora[r=3]",
    "pissa[r=4]",
    "milora[r=2]",
    "olora[r=4]",
    "corda[r=4,mode=ipm]",
    "corda[r=4,calibration=train]",
    "astra[r=4]",
    "sc_lora[r=3]",
    "lora_null[r=4]",
    "lora_null[r=4,variant=v2]",
    "lora_null[r=2,variant=zero]",
    "mica[r=4]",
    "corda_pp[r=4]",
    "eva[r=4]",
    "lora_ga[r=3]",
    "lora_one[r=4]",
]
TOKENS = torch.randint(1, 250, (2, 9), generator=torch.Generator().manual_seed(3))


@pytest.fixture
def methods(tmp_path):
    """Also a configuration of PEFT's that cuts the base, and trains magnitudes on top."""
    file = tmp_path / "adapter_config.json"
    start = {"peft_type": "LORA", "r": 4, "init_lora_weights": "pissa", "use_dora": True}
    file.write_text(json.dumps(start))
    return [*METHODS, f"peft[path={file}]"]


def attached(base, methods):
    adapters = [parse_recipe(written).adapter for written in methods]
    models = [attach(base, adapter).model for adapter in adapters]
    assert {why_alone(*pair) for pair in zip(models, adapters, strict=True)} == {""}
    return models, adapters


def test_all_of_them_train_together_as_alone(tiny_base, methods):
    plans = [make_plan(tiny_base, seed=n % 3, rate=4e-3) for n in range(len(methods))]
    stacked = stack_models(tiny_base.model, attached(tiny_base, methods)[0])
    found = train_together(stacked, plans, lambda *_: None)
    models, adapters = attached(tiny_base, methods)
    for number, (model, adapter, plan) in enumerate(zip(models, adapters, plans, strict=True)):
        expected = train(model, adapter, plan, lambda *_: None)
        assert_same(found[number], expected, plan)
        assert expected.curve[-1].loss < expected.curve[0].loss


@pytest.mark.parametrize(
    ("method", "kept"), [("mica[r=4]", "lora_B"), ("lora_null[r=4,variant=v2]", "lora_A")]
)
def test_a_factor_that_is_not_trained_stays_as_it_is_to_the_last_bit(method, kept, tiny_base):
    models, _ = attached(tiny_base, [method, "lora[r=6]"])
    start = {name: p.clone() for name, p in models[0].named_parameters() if "lora_" in name}
    stacked = stack_models(tiny_base.model, models)
    plans = [make_plan(tiny_base, seed=n, rate=4e-3) for n in range(2)]
    train_together(stacked, plans, lambda *_: None)
    for name, parameter in models[0].named_parameters():
        if "lora_" in name:
            assert torch.equal(parameter, start[name]) == (kept in name), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_starts_that_are_no_cut_are_the_base_to_the_last_bit(dtype):
    """In a short dtype too, and as long as no magnitude moves."""
    base = base_of(tiny_llama().to(dtype))
    others = ("dora", "lora_one")
    models, _ = attached(base, [m for m in METHODS if not m.startswith(others)])
    stacked = stack_models(base.model, models)
    rows = TOKENS.repeat(len(models), 1)
    with torch.no_grad():
        found, expected = stacked(input_ids=rows).logits, base.model(input_ids=rows).logits
    assert torch.equal(found, expected)
    assert stacked.stack._start is not None


def test_a_stack_leaves_starts_alone(tiny_base, methods):
    """A member's own model, which has its start elsewhere, goes on saying the same."""
    models, _ = attached(tiny_base, methods)
    with torch.no_grad():
        for model in models:
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.add_(0.05 * torch.randn(parameter.shape))
        before = [model(input_ids=TOKENS).logits for model in models]
        stacked = stack_models(tiny_base.model, models)
        found = stacked(input_ids=TOKENS.repeat(len(models), 1)).logits.chunk(len(models))
        for mine, own, model in zip(found, before, models, strict=True):
            assert torch.equal(model(input_ids=TOKENS).logits, own)
            assert torch.allclose(mine, own, atol=1e-5 * own.abs().max())
