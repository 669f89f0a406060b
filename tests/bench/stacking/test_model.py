"""A stack gives the numbers of each member's own model, whatever the members are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.stacking.layers import why_alone
from bench.stacking.model import StackedModel, stack_models
from methods.adapters.full import Full
from methods.adapters.lora import Lora
from methods.adapters.peft import Peft
from tasks.errors import UsageError
from tests.bench.stacking import stacks
from tests.bench.stacking.stacks import adapted, base_of
from tests.conftest import tiny_llama

LAST = [f"model.layers.1.{name}" for name in ("self_attn.q_proj", "mlp.down_proj")]
MIXED = [
    {},
    {"r": 2},
    {"use_dora": True, "r": 3},
    {"use_rslora": True, "r": 8},
    {"target_modules": LAST},
    {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"down_proj": 9}},
]
TOKENS = torch.randint(1, 250, (6, 2, 9), generator=torch.Generator().manual_seed(3))


def some(base, kinds=MIXED, spread=0.1):
    return [adapted(base, seed, spread=spread, **kind) for seed, kind in enumerate(kinds)]


@torch.no_grad()
def logits(model, tokens):
    return model(input_ids=tokens).logits


@pytest.mark.parametrize(
    "make", [tiny_llama, stacks.tiny_gpt2, stacks.tiny_gemma], ids=["llama", "gpt2", "gemma"]
)
def test_each_members_rows_are_its_own_models(make):
    base = base_of(make())
    kinds = [kind for kind in MIXED if make is tiny_llama or "target_modules" not in kind]
    models = some(base, kinds)
    own = [logits(model, rows) for model, rows in zip(models, TOKENS, strict=False)]
    assert (own[0] - logits(base.model, TOKENS[0])).norm() > 0.01 * own[0].norm(), "it shows"
    stacked = stack_models(base.model, models)
    assert stacked.members == len(models)
    found = logits(stacked, TOKENS[: len(models)].flatten(0, 1)).unflatten(0, (len(models), -1))
    for mine, expected in zip(found, own, strict=True):
        assert torch.allclose(mine, expected, atol=1e-5 * expected.abs().max())


def test_a_stack_is_a_model_like_its_base(tiny_base):
    stacked = stack_models(tiny_base.model, some(tiny_base))
    rows = TOKENS.flatten(0, 1)
    assert isinstance(stacked, StackedModel)
    assert isinstance(stacked, type(tiny_base.model))
    assert next(stacked.parameters()) is next(tiny_base.model.parameters()), "weights are shared"
    assert len(stacked(input_ids=rows, output_hidden_states=True).hidden_states) == 3
    few = stacked(input_ids=rows, logits_to_keep=2).logits
    assert torch.allclose(few, logits(stacked, rows)[:, -2:], atol=1e-5)
    mask = torch.ones_like(rows)
    said = stacked.generate(input_ids=rows, attention_mask=mask, max_new_tokens=5, do_sample=False)
    for number, model in enumerate(stacked.alone):
        mine = {"input_ids": TOKENS[number], "attention_mask": mask[:2]}
        own = model.generate(**mine, max_new_tokens=5, do_sample=False)
        assert torch.equal(said[2 * number : 2 * number + 2, : own.shape[1]], own)


def test_a_members_weights_are_views_of_the_stack(tiny_base):
    models = some(tiny_base)
    stacked = stack_models(tiny_base.model, models)
    before = logits(stacked, TOKENS.flatten(0, 1))
    with torch.no_grad():
        for name, parameter in models[1].named_parameters():
            if "lora_B" in name:
                parameter.mul_(2)
    stacked.stack.refresh()
    after = logits(stacked, TOKENS.flatten(0, 1)).unflatten(0, (6, 2))
    assert torch.allclose(after[1], logits(models[1], TOKENS[1]), atol=1e-5)
    assert not torch.allclose(after[1], before[2:4], atol=1e-3)
    assert torch.equal(after.flatten(0, 1)[4:], before[4:])


def test_stacking_leaves_every_number_as_it_was(tiny_base):
    models = some(tiny_base)
    kept = [{n: p.detach().clone() for n, p in model.named_parameters()} for model in models]
    stack_models(tiny_base.model, models)
    for model, numbers in zip(models, kept, strict=True):
        assert all(torch.equal(p, numbers[name]) for name, p in model.named_parameters())


def test_a_subset_runs_some_members_in_their_order(tiny_base):
    stacked = stack_models(tiny_base.model, some(tiny_base))
    few = stacked.subset([4, 2])
    assert few.members == 2
    assert few.alone == (stacked.alone[4], stacked.alone[2])
    found = logits(few, torch.cat([TOKENS[4], TOKENS[2]]))
    expected = torch.cat([logits(stacked.alone[n], TOKENS[n]) for n in (4, 2)])
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_subset_without_magnitudes_is_one_of_lora_alone(tiny_base):
    stacked = stack_models(tiny_base.model, some(tiny_base))
    few = stacked.subset([1, 0])
    found = logits(few, torch.cat([TOKENS[1], TOKENS[0]]))
    expected = torch.cat([logits(stacked.alone[n], TOKENS[n]) for n in (1, 0)])
    assert torch.allclose(found, expected, atol=1e-5)


def test_padding_of_ranks_and_of_targets_is_zero(tiny_base):
    stacked = stack_models(tiny_base.model, some(tiny_base))
    trained = sum(p.numel() for m in stacked.alone for p in m.parameters() if p.requires_grad)
    assert int((stacked.stack.theta != 0).sum()) <= trained < stacked.stack.theta.numel()


def test_a_short_dtype_is_as_near_as_another_batch_shape():
    base = base_of(tiny_llama().to(torch.bfloat16))
    models = some(base)
    stacked = stack_models(base.model, models)
    found = logits(stacked, TOKENS.flatten(0, 1)).unflatten(0, (6, 2))
    for mine, model, rows in zip(found, models, TOKENS, strict=True):
        own = logits(model, rows)
        assert mine.dtype == own.dtype == torch.bfloat16
        assert (mine - own).float().norm() < 0.02 * own.float().norm()


def test_a_saved_member_is_what_its_model_was(tiny_base, tmp_path):
    from peft import PeftModel

    models = some(tiny_base)
    stack_models(tiny_base.model, models)
    models[1].save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(tiny_llama(), tmp_path).eval()
    assert torch.allclose(logits(again, TOKENS[0]), logits(models[1], TOKENS[0]), atol=1e-6)


def test_a_model_that_sees_tokens_of_several_rows_mixed_is_refused_by_measuring(tiny_base):
    """Although an adapter that starts as an identity shows nothing of it."""
    mlp = tiny_base.model.model.layers[1].mlp

    class Mixing(type(mlp)):
        def forward(self, x):
            return super().forward(x.flip(0)).flip(0)

    mlp.__class__ = Mixing
    for dtype in (torch.float32, torch.bfloat16):
        tiny_base.model.to(dtype)
        with pytest.raises(UsageError, match="cannot be stacked"):
            stack_models(tiny_base.model, some(tiny_base, spread=0.0))


def test_experts_are_no_obstacle_where_attention_alone_is_adapted():
    base = base_of(stacks.tiny_experts())
    models = some(base, [{"target_modules": ["q_proj", "k_proj", "o_proj"]}] * 2)
    stacked = stack_models(base.model, models)
    found = logits(stacked, TOKENS[:2].flatten(0, 1))
    expected = torch.cat([logits(m, rows) for m, rows in zip(models, TOKENS, strict=False)])
    assert torch.allclose(found, expected, atol=1e-5)


def test_layers_of_another_class_run_as_they_are(tiny_base):
    """As those that hold their weights in four bits."""
    for layer in tiny_base.model.model.layers:
        for linear in (layer.self_attn.v_proj, layer.mlp.down_proj):
            linear.__class__ = type("Own", (nn.Linear,), {})
    kinds = [{}, {"r": 2}]
    models = some(tiny_base, kinds)
    found = logits(stack_models(tiny_base.model, models), TOKENS[:2].flatten(0, 1))
    expected = torch.cat([logits(m, rows) for m, rows in zip(models, TOKENS, strict=False)])
    assert torch.allclose(found, expected, atol=1e-5)
    with pytest.raises(UsageError, match="DoRA"):
        stack_models(tiny_base.model, some(tiny_base, [{"use_dora": True}]))


class Adding(Lora):
    def extra_loss(self, model):
        return torch.zeros(())


class Acting(Lora):
    def after_step(self, model, step):
        return None


@pytest.mark.parametrize(
    ("kind", "adapter", "word"),
    [
        ({"lora_dropout": 0.1}, Lora(dropout=0.1), "random"),
        ({}, Adding(), "loss"),
        ({}, Acting(), "each step"),
        ({"lora_bias": True, "target_modules": ["q_proj"]}, Lora(), "plain LoRA"),
        ({"modules_to_save": ["lm_head"]}, Lora(), "plain LoRA"),
        ({"trainable_token_indices": [1]}, Lora(), "plain LoRA"),
    ],
)
def test_what_has_to_run_alone_says_why(tiny_base, kind, adapter, word):
    assert word in why_alone(adapted(tiny_base, **kind), adapter)


def test_full_training_and_prompts_run_alone(tiny_base):
    from peft import PromptTuningConfig, get_peft_model

    assert "plain LoRA" in why_alone(tiny_llama().requires_grad_(True), Full())
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    assert "virtual" in why_alone(get_peft_model(tiny_llama(), config), Lora())


@pytest.mark.parametrize("kind", ["LORA", "ADALORA"])
def test_a_plain_configuration_of_peft_can_be_stacked_and_adalora_not(tiny_base, kind):
    from peft import AdaLoraConfig, get_peft_model

    model = adapted(tiny_base)
    if kind == "ADALORA":
        config = AdaLoraConfig(task_type="CAUSAL_LM", total_step=9, target_modules=["q_proj"])
        model = get_peft_model(tiny_llama(), config)
    assert (why_alone(model, Peft(path="any")) == "") == (kind == "LORA")


def test_nothing_cannot_be_stacked(tiny_base):
    with pytest.raises(UsageError, match="at least one"):
        stack_models(tiny_base.model, [])


@pytest.mark.parametrize("moved", [5e-4, 1e-3, 4e-3])
def test_in_bfloat16_rows_of_dora_follow_small_moves_of_m(moved):
    """bfloat16 resolves 0.4 %: an output that is rounded before c scales it would not move."""
    base = base_of(tiny_llama().bfloat16())
    stack = stack_models(base.model, [adapted(base, seed, use_dora=True) for seed in (0, 1)])
    layer = stack.get_submodule("model.layers.0.self_attn.q_proj")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 256, base.model.config.hidden_size, generator=generator).bfloat16()
    with torch.no_grad():
        before = layer(x.clone()).double()
        stack.stack.theta[0, -stack.stack.layout.rows :] *= 1 + moved
        stack.stack.refresh()
        found = layer(x.clone()).double() - before
    response = (found[0] * before[0]).sum() / before[0].square().sum() / moved
    assert response == pytest.approx(1, abs=0.15)
    assert not found[1].any(), "the other member"
