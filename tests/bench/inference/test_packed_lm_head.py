"""The head on packed weights says what it says on plain ones, and only on the weights packed."""

import copy

import pytest
import torch
from torch import nn

from bench.inference import packed_lm_head as packed_head
from bench.inference.packed_lm_head import PackedHead, pack_head
from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from bench.optimizations import Optimization, without

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN"
)


@pytest.fixture
def model(make_tiny):
    made = make_tiny()
    assert pack_head(made)
    return made


@pytest.fixture
def multiplied(monkeypatch):
    """Count the products with packed weights."""
    plain, calls = packed_head._multiplied, []
    monkeypatch.setattr(packed_head, "_multiplied", lambda *a: calls.append(a) or plain(*a))
    return calls


def logits_and_gradient(model, states):
    states = states.clone().requires_grad_()
    logits = model.get_output_embeddings()(states)
    (logits * torch.arange(logits.shape[-1])).sum().backward()
    return logits.detach(), states.grad


@pytest.mark.parametrize(
    ("shape", "packed"), [((), 2), ((1,), 2), ((3, 5), 2), ((2, 32), 2), ((2, 40), 1)]
)
def test_logits_and_gradients_are_those_of_the_plain_product(model, shape, packed, multiplied):
    states = torch.randn(*shape, model.config.hidden_size)
    found = logits_and_gradient(model, states)
    assert len(multiplied) == packed
    with without(Optimization.PACKED_HEAD):
        expected = logits_and_gradient(model, states)
    assert len(multiplied) == packed
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_lent_head_is_packed_until_its_weights_are_others(model, multiplied):
    loan = borrow(Base("tiny", "0", model, None))
    loan.settle()
    states = torch.randn(2, model.config.hidden_size)
    loan.model.get_output_embeddings()(states)
    assert len(multiplied) == 1
    loan.model.get_output_embeddings().weight.requires_grad_(True)
    loan.settle()
    with torch.no_grad():
        loan.model.get_output_embeddings().weight.mul_(2)
    doubled = loan.model.get_output_embeddings()(states)
    assert len(multiplied) == 1
    assert torch.allclose(doubled, 2 * model.get_output_embeddings()(states), atol=1e-5)


def test_a_copy_shares_what_was_packed(model):
    assert copy.deepcopy(model).get_output_embeddings().packed is model.lm_head.packed


def test_heads_that_do_not_suit_stay_plain(make_tiny, monkeypatch):
    half = make_tiny().bfloat16()
    assert not pack_head(half)
    assert type(half.lm_head) is nn.Linear
    monkeypatch.setattr(packed_head, "LARGEST", 1)
    assert not pack_head(make_tiny())
    monkeypatch.undo()
    monkeypatch.setattr(packed_head._Packed, "times", lambda self, rows: rows @ rows.T + 1)
    wrong = make_tiny()
    assert not pack_head(wrong)
    assert type(wrong.lm_head) is nn.Linear


def test_a_packed_model_is_saved_as_any_other(model, tmp_path):
    assert isinstance(model.lm_head, PackedHead)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert type(loaded.lm_head) is nn.Linear
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
