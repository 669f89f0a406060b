"""Input covariances against PEFT's own, and what masking, batching and sharing must not change."""

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora.corda import calib_cov_distribution

from methods.calibration import text_batches
from methods.covariance import input_covariances
from methods.targets import linear_layers, linear_names
from tasks.errors import UsageError


def covariances(base, texts, batch_size=16):
    model = base.model
    batches = text_batches(base.tokenizer, texts, model.device, batch_size=batch_size)
    return input_covariances(model, batches)


TEXTS = ["Question: a?\nAnswer: b\n", "short", "a rather longer text than the others " * 3, "x y"]


def test_equals_peft_fed_one_text_at_a_time(tiny_base):
    model, tokenizer = tiny_base.model, tiny_base.tokenizer
    ours = covariances(tiny_base, TEXTS, batch_size=3)

    def run_model():
        for text in TEXTS:
            model(**tokenizer(text, return_tensors="pt"))

    config = LoraConfig(target_modules=linear_names(model), corda_config=CordaConfig())
    calib_cov_distribution(model, config, run_model, None, None)
    for name, module in linear_layers(model):
        theirs = module.covariance_matrix
        assert (ours[name] - theirs).norm() / theirs.norm() < 1e-5, name


def test_batching_changes_nothing(tiny_base):
    alone = covariances(tiny_base, TEXTS, batch_size=1)
    padded = covariances(tiny_base, TEXTS, batch_size=4)
    for name, matrix in alone.matrices.items():
        assert torch.allclose(matrix, padded.matrices[name], rtol=1e-4, atol=1e-6)
    assert alone.tokens == padded.tokens
    assert set(alone.tokens.values()) == {sum(len(text) for text in TEXTS)}


def test_layers_that_share_an_input_share_a_matrix(tiny_base):
    found = covariances(tiny_base, TEXTS)
    assert len(found.matrices) == 2 * 4
    layer = "model.layers.1."
    query = found.input_of(f"{layer}self_attn.q_proj")
    assert found.input_of(f"{layer}self_attn.k_proj") == query
    assert found.input_of(f"{layer}self_attn.v_proj") == query
    assert found.input_of(f"{layer}mlp.up_proj") == found.input_of(f"{layer}mlp.gate_proj")
    assert found.input_of(f"{layer}self_attn.o_proj") != query
    assert found[f"{layer}mlp.down_proj"].shape == (64, 64)


def test_nothing_is_left_on_the_model(tiny_base):
    head = []
    handle = tiny_base.model.lm_head.register_forward_hook(lambda *_: head.append(1))
    covariances(tiny_base, TEXTS)
    handle.remove()
    assert not head, "the head is not run"
    assert not any(module._forward_pre_hooks for module in tiny_base.model.modules())


def test_too_few_tokens_are_told(tiny_base):
    few = covariances(tiny_base, ["x" * 40])
    assert few.low_rank() == ("model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj")


def test_wrong_use(tiny_base):
    with pytest.raises(ValueError, match="at least one"):
        input_covariances(tiny_base.model, [])
    found = covariances(tiny_base, TEXTS)
    with pytest.raises(UsageError, match="lm_head"):
        found["lm_head"]
