"""Laws of two adapters on one two-layer model: what trains, what stays, and where it starts."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel

from bench.models.copy_on_write import borrow
from methods.adapters.dora import Dora
from methods.adapters.lora import Lora
from methods.adapters.peft import Peft
from methods.adapters.pissa import Pissa
from methods.adapters.rslora import RsLora
from methods.two_steps.merged import merge_saved
from methods.two_steps.pair import FIRST, adapted_layers, join, whole_weight
from methods.two_steps.saved import save_steps
from tasks.errors import UsageError

FIRSTS = [Lora(r=3), Dora(r=3), RsLora(r=3), Pissa(r=3), Lora(r=40)]
SECONDS = [Lora(r=4), RsLora(r=4, alpha=7.0), Dora(r=4)]


@pytest.fixture
def base(tiny_base, make_tiny):
    """The two-layer model with layers of distinct sizes."""
    return tiny_base


@pytest.fixture
def first(cases, base, tmp_path):
    """Train an adapter and save it; returns its cell and its folder."""

    def make(adapter=FIRSTS[0], **where):
        cell = cases.attach(base, adapter, **where)
        cell.train(steps=4)
        return cell, cell.save(tmp_path / "first")

    return make


@pytest.fixture
def on_top(cases, base):
    """Attach a second adapter on top of a saved one; returns its cell and the pair."""

    def make(folder, adapter=SECONDS[0], *, trainable=False, **where):
        cell = cases.attach(base, adapter, **where)
        probe = lambda: cases.logits_of(cell.model)  # noqa: E731
        return cell, join(cell.model, folder, trainable=trainable, probe=probe)

    return make


def merged_logits(cases, base, folder):
    model, _ = merge_saved(borrow(base).model, folder, cases.logits_of)
    return cases.logits_of(model)


def parameters(pair, adapter):
    return {n: p for n, p in pair.model.named_parameters() if f".{adapter}." in n}


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("second", SECONDS, ids=repr)
@pytest.mark.parametrize("adapter", FIRSTS, ids=repr)
def test_a_pair_starts_where_the_first_step_ended_and_so_does_the_merged_model(
    cases, base, first, on_top, adapter, second, trainable
):
    ended, folder = first(adapter)
    cell, pair = on_top(folder, second, trainable=trainable)
    expected = ended.logits()
    assert (expected - cases.logits_of(base.model)).abs().max() > 1e-2, "it has learned something"
    torch.testing.assert_close(cell.logits(), pair.alone, atol=0, rtol=0)
    torch.testing.assert_close(cell.logits(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(merged_logits(cases, base, folder), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("second", SECONDS, ids=repr)
def test_a_frozen_adapter_stays_bit_equal_and_gets_no_gradients(first, on_top, second):
    _, folder = first()
    cell, pair = on_top(folder, second)
    before = {name: p.detach().clone() for name, p in parameters(pair, FIRST).items()}
    cell.train(steps=3)
    now = parameters(pair, FIRST)
    assert before
    assert all(torch.equal(now[name], before[name]) for name in before)
    assert all(p.grad is None for p in now.values())
    assert pair.changed() == []
    with torch.no_grad():
        next(iter(now.values())).add_(1e-3)
    assert len(pair.changed()) == 1, "and a change would be noticed"


@pytest.mark.parametrize("second", SECONDS, ids=repr)
def test_exactly_what_the_mode_says_is_trained(first, on_top, second):
    _, folder = first()
    for trainable in (False, True):
        cell, pair = on_top(folder, second, trainable=trainable)
        trained = {n for n, p in cell.model.named_parameters() if p.requires_grad}
        own = {*parameters(pair, "default")}
        assert trained == own | ({*parameters(pair, FIRST)} if trainable else set())
        before = {n: p.detach().clone() for n, p in cell.model.named_parameters()}
        cell.train(steps=3)
        moved = {n for n, p in cell.model.named_parameters() if not torch.equal(p, before[n])}
        assert moved == trained


def test_both_adapters_are_active(cases, base, first, on_top):
    _, folder = first()
    cell, pair = on_top(folder)
    cell.train(steps=3)
    both = cell.logits()
    for name in (FIRST, "default"):
        pair.model.base_model.set_adapter([name])
        alone = cases.logits_of(cell.model)
        assert (alone - both).abs().max() > 1e-3
        assert (alone - cases.logits_of(base.model)).abs().max() > 1e-3


def test_a_second_adapter_that_was_added_but_not_activated_is_noticed(cases, first, on_top):
    """As in published code, in which the second adapter would have trained for nothing."""
    _, folder = first()
    cell, pair = on_top(folder)
    loss = cases.run(cell.model).square().mean()
    pair.check_reached(loss)
    pair.model.base_model.set_adapter([FIRST])
    with pytest.raises(UsageError, match="second adapter trains and nothing else"):
        pair.check_trained()
    for parameter in parameters(pair, "default").values():
        parameter.requires_grad_(True)
    for parameter in parameters(pair, FIRST).values():
        parameter.requires_grad_(False)
    with pytest.raises(UsageError, match="does not run the adapters of both steps"):
        pair.check_trained()
    idle = (
        cases.run(cell.model) + next(iter(parameters(pair, "default").values())).sum() * 0
    ).mean()
    with pytest.raises(UsageError, match="second step gets no gradients"):
        pair.check_reached(idle)


@pytest.mark.parametrize("first_step", [Lora(r=3), Dora(r=3)], ids=repr)
@pytest.mark.parametrize("trainable", [False, True])
def test_dora_on_top_is_dora_of_the_weight_after_the_first_step(
    first, on_top, first_step, trainable
):
    _, folder = first(first_step)
    cell, _ = on_top(folder, Dora(r=4), trainable=trainable)
    cell.train(steps=3)
    for _, layer in adapted_layers(cell.model):
        W = layer.get_base_layer().weight.double()
        for name in (FIRST, "default"):
            A, B = layer.lora_A[name].weight.double(), layer.lora_B[name].weight.double()
            W = W + layer.scaling[name] * B @ A
            if name in layer.lora_magnitude_vector:
                W = layer.lora_magnitude_vector[name].weight[:, None] * W / W.norm(dim=1)[:, None]
        x = torch.randn(5, W.shape[1], generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(layer(x).double(), x.double() @ W.T, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(whole_weight(layer).double(), W, atol=1e-5, rtol=1e-5)


def test_a_frozen_adapter_does_not_drop_out(cases, first, on_top):
    _, folder = first(Lora(r=3, dropout=0.5))
    cell, _ = on_top(folder)
    still = cell.logits()
    cell.model.train()
    with torch.no_grad():
        torch.testing.assert_close(cases.run(cell.model), still, atol=0, rtol=0)


def test_steps_may_adapt_different_layers(cases, base, first, on_top, tmp_path):
    ended, folder = first(Lora(r=3), layers=(0,))
    cell, pair = on_top(folder, Lora(r=4), layers=(1,))
    torch.testing.assert_close(cell.logits(), ended.logits(), atol=1e-5, rtol=0)
    cell.train(steps=3)
    expected = cell.logits()
    save_steps(cell.model, cell.save, folder, pair, tmp_path / "both")
    loaded = PeftModel.from_pretrained(borrow(base).model, tmp_path / "both")
    torch.testing.assert_close(cases.logits_of(loaded), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "more", [{"modules_to_save": ["lm_head"]}, {"target_modules": ["embed_tokens", "q_proj"]}]
)
def test_more_than_factors_of_linear_layers_cannot_stand_on_top(first, on_top, tmp_path, more):
    _, folder = first()
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({"peft_type": "LORA", "r": 4, **more}))
    with pytest.raises(UsageError, match="merged"):
        on_top(folder, Peft(str(file)))
