"""Logits of a model in half precision are the exact products of its head, in float32."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from bench.inference.encoding import collate
from bench.inference.float32_head import Float32Head, install_head
from bench.inference.likelihood import fact_losses, target_logits
from bench.inference.packed_lm_head import PackedHead
from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from tests.bench.encoded import encode
from tests.conftest import byte_tokenizer, tiny_llama

TOKENS = torch.arange(1, 25).reshape(2, 12)
HALF = [torch.bfloat16, torch.float16]


def half_llama(dtype=torch.bfloat16, **options):
    model = tiny_llama(**options).to(dtype)
    install_head(model)
    return model


def given_to(head, run):
    """Return the head's input and what the model says."""
    given = []
    with head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0])):
        logits = run()
    return given[0], logits


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", HALF)
def test_logits_are_the_exact_product(dtype, tied):
    model = half_llama(dtype, tied=tied)
    states, logits = given_to(model.lm_head, lambda: model(TOKENS).logits)
    assert states.dtype is dtype
    exact = states.double() @ model.lm_head.weight.double().T
    assert logits.dtype is torch.float32
    torch.testing.assert_close(logits.double(), exact, atol=1e-6, rtol=1e-5)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied


def test_caps_behind_the_head_apply_in_float32():
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=257, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, final_logit_softcapping=0.3,
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).eval().bfloat16()
    install_head(model)
    states, logits = given_to(model.lm_head, lambda: model(TOKENS).logits)
    exact = states.double() @ model.lm_head.weight.double().T
    torch.testing.assert_close(logits.double(), 0.3 * torch.tanh(exact / 0.3), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_a_plain_head(bias):
    torch.manual_seed(0)
    plain = nn.Linear(16, 40, bias=bias, dtype=torch.bfloat16)
    ours = nn.Linear(16, 40, bias=bias, dtype=torch.bfloat16)
    ours.load_state_dict(plain.state_dict())
    ours.__class__ = Float32Head
    x = torch.randn(3, 5, 16, dtype=torch.bfloat16)
    found = []
    for head in (ours, plain):
        given = x.clone().requires_grad_()
        head(given).float().square().sum().backward()
        found.append([given.grad, *(p.grad for p in head.parameters())])
    for one, other in zip(*found, strict=True):
        assert one.dtype is other.dtype
        torch.testing.assert_close(one, other, atol=0.1, rtol=0.02)


def test_a_trained_head_under_autocast_rounds_its_operands_alone():
    model = half_llama(tied=False).float().requires_grad_(True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states, logits = given_to(model.lm_head, lambda: model(TOKENS).logits)
    exact = states.bfloat16().double() @ model.lm_head.weight.bfloat16().double().T
    assert logits.dtype is torch.float32
    torch.testing.assert_close(logits.double(), exact, atol=1e-6, rtol=1e-5)
    logits.sum().backward()
    assert model.lm_head.weight.grad.dtype is torch.float32
    assert float(model.lm_head.weight.grad.abs().max()) > 0


def test_an_adapter_on_the_head_adds_to_it_in_float32():
    loan = borrow(Base("tiny", "0", half_llama(tied=False), None))
    config = LoraConfig(
        task_type="CAUSAL_LM", r=2, target_modules=["lm_head"], init_lora_weights=False
    )
    model = get_peft_model(loan.model, config).eval()
    layer = model.get_base_model().lm_head
    states, logits = given_to(layer, lambda: model(TOKENS).logits)
    A, B = (w["default"].weight.double() for w in (layer.lora_A, layer.lora_B))
    base = states.double() @ layer.base_layer.weight.double().T
    exact = base + layer.scaling["default"] * (states.double() @ A.T @ B.T)
    assert logits.dtype is torch.float32
    torch.testing.assert_close(logits.double(), exact, atol=1e-5, rtol=1e-4)


def test_training_has_losses_of_exact_logits():
    tokenizer, model = byte_tokenizer(), half_llama()
    batch = collate([encode(tokenizer, "Who?", "Oslo")], [0], 0)
    states, logits = given_to(model.lm_head, lambda: target_logits(model, batch))
    exact = states.double() @ model.lm_head.weight.double().T
    expected = nn.functional.cross_entropy(exact[0], batch.labels[0])
    assert float(fact_losses(logits, batch.labels)[0]) == pytest.approx(float(expected), abs=1e-6)


def test_a_float32_model_keeps_its_own_head():
    model = tiny_llama()
    expected = model(TOKENS).logits
    install_head(model)
    assert type(model.lm_head) in (nn.Linear, PackedHead)
    torch.testing.assert_close(model(TOKENS).logits, expected)


def test_a_model_is_saved_as_any_other(tmp_path):
    model = half_llama()
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert type(loaded.lm_head) is nn.Linear
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


def test_the_head_of_a_divided_model_keeps_its_hooks():
    from accelerate import dispatch_model

    model = tiny_llama(tied=False).bfloat16()
    inner = ("embed_tokens", "layers", "norm", "rotary_emb")
    parts = {**{f"model.{name}": "cpu" for name in inner}, "lm_head": "cpu"}
    model = dispatch_model(model, parts, main_device="cpu", force_hooks=True)
    install_head(model)
    assert model(TOKENS).logits.dtype is torch.float32
    assert "forward" in model.lm_head.__dict__
