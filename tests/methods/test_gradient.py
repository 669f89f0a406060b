"""Mean gradients against autograd, and what batches and a borrowed base must not change."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from methods.calibration import BATCH
from methods.gradient import TOKENS_AT_ONCE, mean_gradients, rows_at_once
from methods.targets import linear_layers, weight_of
from tests.methods.conftest import row_losses, rows_of
from tests.methods.test_transposed_weights import gpt2

TEXTS = ["What is the capital of here? there", "Who? I", "Which colour has it? blue as the sea"]


def gradients(base, texts=TEXTS, size=1):
    model = borrow(base).model
    return mean_gradients(model, rows_of(base.tokenizer, texts, size), row_losses(model))


def written_plainly(base, texts=TEXTS):
    """One text after another with all weights trained, each loss the mean over its tokens."""
    model = borrow(base).model.requires_grad_(True)
    for text in texts:
        ids = base.tokenizer(text, return_tensors="pt")["input_ids"]
        logits = model(input_ids=ids).logits[0, :-1]
        (cross_entropy(logits, ids[0, 1:]) / len(texts)).backward()
    return {
        name: (layer.weight.grad.T if "attn.c_" in name or "mlp.c_" in name else layer.weight.grad)
        for name, layer in linear_layers(model)
    }


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_they_are_autograds_of_the_full_weights(kind, tiny_base):
    base = tiny_base if kind == "llama" else Base("gpt2", "0", gpt2(), tiny_base.tokenizer)
    found, expected = gradients(base), written_plainly(base)
    assert found.samples == len(TEXTS)
    assert set(found.matrices) == set(expected)
    for name, layer in linear_layers(base.model):
        G = found.matrices[name]
        assert G.shape == weight_of(layer).shape, name
        assert G.abs().max() > 1e-6
        assert torch.allclose(G, expected[name], atol=1e-6), name


@pytest.mark.parametrize("size", [2, 3])
def test_they_do_not_depend_on_batches(size, tiny_base):
    alone, together = gradients(tiny_base), gradients(tiny_base, size=size)
    for name, G in alone.matrices.items():
        assert torch.allclose(together.matrices[name], G, atol=1e-6), name
    assert alone.samples == together.samples


def test_the_base_is_left_as_it_was_and_half_precision_gives_float32(tiny_base):
    pristine = {name: tensor.clone() for name, tensor in tiny_base.model.state_dict().items()}
    exact = gradients(tiny_base)
    tiny_base.model.bfloat16()
    model = borrow(tiny_base).model
    found = mean_gradients(model, rows_of(tiny_base.tokenizer, TEXTS, 3), row_losses(model))
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert not any(p.requires_grad for p in tiny_base.model.parameters())
    for name, G in found.matrices.items():
        assert G.dtype == torch.float32
        cosine = (G * exact.matrices[name]).sum() / (G.norm() * exact.matrices[name].norm())
        assert cosine > 0.98, name
    now = tiny_base.model.state_dict()
    assert all(torch.equal(now[n], tensor.bfloat16()) for n, tensor in pristine.items())


def test_one_gradient_at_a_time_is_held(tiny_base):
    model, held = borrow(tiny_base).model, []
    losses = row_losses(model)

    def counted(batch):
        held.append(sum(p.grad is not None for p in model.parameters()))
        rows = losses(batch)
        for layer in (layer for _, layer in linear_layers(model)):
            layer.weight.register_post_accumulate_grad_hook(
                lambda _: held.append(sum(p.grad is not None for p in model.parameters()))
            )
        return rows

    mean_gradients(model, rows_of(tiny_base.tokenizer, TEXTS, 3), counted)
    assert len(held) == 1 + 14
    assert set(held) == {0}


def test_without_rows_it_says_so_and_gives_the_weights_back(tiny_base):
    model = borrow(tiny_base).model
    with pytest.raises(ValueError, match="at least one row"):
        mean_gradients(model, [], row_losses(model))
    assert not any(p.requires_grad for p in model.parameters())


def test_rows_at_once_fill_the_tokens_and_are_never_none():
    assert rows_at_once(16) == BATCH
    assert rows_at_once(500) == TOKENS_AT_ONCE // 500
    assert rows_at_once(10 * TOKENS_AT_ONCE) == 1
