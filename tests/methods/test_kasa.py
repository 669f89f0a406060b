"""KaSA is PEFT's own variant: what it drops, adds and penalises."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel

from bench.models.loading import Base
from methods.adapters.kasa import Kasa
from methods.targets import linear_layers
from tasks.errors import UsageError
from tests.methods.test_transposed_weights import gpt2


def layers_of(cell):
    for name, _ in linear_layers(cell.base.model):
        yield name, cell.model.get_submodule(f"base_model.model.{name}")


def test_it_starts_from_the_weights_without_their_r_smallest_directions(cases, tiny_base):
    cell = cases.attach(tiny_base, Kasa(r=4, alpha=6.0))
    for name, layer in layers_of(cell):
        W = tiny_base.model.get_submodule(name).weight.double()
        U, S, Vh = torch.linalg.svd(W, full_matrices=False)
        expected = (U[:, :-4] * S[:-4]) @ Vh[:-4]
        assert torch.allclose(layer.base_layer.weight.double(), expected, atol=1e-6), name
        assert not layer.lora_B["default"].weight.any()
    assert not cell.adapter.starts_as_base
    assert (cell.logits() - cases.logits_of(tiny_base.model)).abs().max() > 1e-4


def test_what_it_adds_is_scaled_by_a_trained_diagonal(cases, tiny_base):
    cell = cases.attach(tiny_base, Kasa(r=4, alpha=6.0))
    cell.train()
    for name, layer in layers_of(cell):
        A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        d, x = layer.lora_diag["default"], torch.randn(5, layer.in_features)
        W = layer.base_layer.weight + 1.5 * (B * d) @ A
        assert torch.allclose(layer(x), x @ W.T, atol=1e-5), name


def test_its_penalty_is_that_of_the_paper(cases, tiny_base):
    cell = cases.attach(tiny_base, Kasa(r=4, beta=0.3, gamma=0.7))
    expected = 0.0
    for _, layer in layers_of(cell):
        A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        apart = (B.T @ B - torch.eye(4)).norm() + (A @ A.T - torch.eye(4)).norm()
        expected += 0.3 * layer.lora_diag["default"].square().sum() + 0.7 * apart
    assert torch.allclose(cell.adapter.extra_loss(cell.model), expected)


def test_a_direction_is_left_of_every_weight(cases, tiny_base, make_tiny, tmp_path):
    cell = cases.attach(tiny_base, Kasa(r=17, alpha=34.0))
    ranks = {name.rpartition(".")[2]: layer.r["default"] for name, layer in layers_of(cell)}
    assert ranks.pop("k_proj") == ranks.pop("v_proj") == 15
    assert set(ranks.values()) == {17}
    assert {layer.scaling["default"] for _, layer in layers_of(cell)} == {2.0}
    cell.train()
    loaded = PeftModel.from_pretrained(make_tiny(), str(cell.save(tmp_path / "adapter")))
    assert (cases.logits_of(loaded) - cell.logits()).abs().max() < 1e-4


def test_transposed_weights_are_refused_in_one_line(cases, tiny_base):
    base = Base("gpt2", "0", gpt2(), tiny_base.tokenizer)
    with pytest.raises(UsageError, match=r"kasa does not run on '.*c_attn', .*transposed"):
        cases.attach(base, Kasa(r=4))
