"""OSF is PEFT's own tuner: what is frozen, trained and kept apart."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from bench.models.loading import Base
from methods.adapters.osf import Osf
from methods.targets import Modules, linear_layers
from tasks.errors import UsageError
from tests.methods.test_transposed_weights import gpt2


def layers_of(cell):
    for name, _ in linear_layers(cell.base.model):
        layer = cell.model.get_submodule(f"base_model.model.{name}")
        if hasattr(layer, "osf_svd_params"):
            yield name, layer


@pytest.mark.parametrize(("frozen", "kept"), [(0.5, {16: 8, 32: 16}), (0.25, {16: 4, 32: 8})])
def test_a_share_of_the_directions_is_frozen(frozen, kept, cases, tiny_base):
    cell = cases.attach(tiny_base, Osf(frozen=frozen))
    found = dict(layers_of(cell))
    assert len(found) == 14
    for name, layer in found.items():
        W = tiny_base.model.get_submodule(name).weight
        k = kept[min(W.shape)]
        assert layer.effective_rank["default"] == k, name
        assert len(layer.osf_svd_params["default"]["S_low"]) == min(W.shape) - k
    trained = sum(p.numel() for p in cell.model.parameters() if p.requires_grad)
    sizes = [tiny_base.model.get_submodule(name).weight.shape for name in found]
    assert trained == sum((min(s) - kept[min(s)]) * (sum(s) + 1) for s in sizes)


def test_gradients_have_no_part_along_the_frozen_directions(cases, tiny_base):
    cell = cases.attach(tiny_base, Osf())
    logits = cases.run(cell.model)
    cross_entropy(logits[:, :-1].flatten(0, 1), cases.tokens[:, 1:].flatten()).backward()
    for name, layer in layers_of(cell):
        W = tiny_base.model.get_submodule(name).weight
        U, _, Vh = torch.linalg.svd(W, full_matrices=False)
        k, own = layer.effective_rank["default"], layer.osf_svd_params["default"]
        for gradient, along in ((own["U_low"].grad, U[:, :k]), (own["V_low"].grad.T, Vh[:k].T)):
            assert gradient.abs().max() > 0
            assert (along.T @ gradient).norm() < 1e-4 * gradient.norm(), name


def test_chosen_modules_alone_are_trained(cases, tiny_base):
    cell = cases.attach(tiny_base, Osf(modules=Modules.DOWN), layers=(1,))
    trained = [name for name, p in cell.model.named_parameters() if p.requires_grad]
    assert len(trained) == 3
    assert all("layers.1.mlp.down_proj" in name for name in trained)


@pytest.mark.parametrize("frozen", [0.0, 1.0, -0.5])
def test_a_share_that_leaves_nothing_is_refused(frozen):
    with pytest.raises(UsageError, match="it must be above 0 and below 1"):
        Osf(frozen=frozen).check()


def test_transposed_weights_are_refused_in_one_line(cases, tiny_base):
    base = Base("gpt2", "0", gpt2(), tiny_base.tokenizer)
    with pytest.raises(UsageError, match=r"osf does not run on '.*c_attn', .*transposed"):
        cases.attach(base, Osf())
