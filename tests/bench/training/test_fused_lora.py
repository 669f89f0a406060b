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
from bench.training.fused_lora import Projection, project
from methods.difference import Start, begin, squared_rows, start_of
from tests.bench.encoded import encode
from tests.conftest import tiny_llama

TOKENS = torch.arange(1, 61).reshape(3, 20)
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


STARTED = [{}, {"use_dora": True}, {"start": True}, {"start": True, "use_dora": True}]
"""Adapters with and without a start that is not zero."""


def adapted(dtype=torch.float32, start=False, **options):
    """A model with an adapter that has moved, so that everything has a gradient."""
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, target_modules=MODULES, **options)
    model = get_peft_model(tiny_llama(seed=5).to(dtype), config)
    generator = torch.Generator().manual_seed(1)
    if start:
        for layer in (m for m in model.modules() if hasattr(m, "lora_magnitude_vector")):
            shapes = (4, layer.in_features), (layer.out_features, 4)
            begin(layer, Start(*(0.2 * torch.randn(s, generator=generator) for s in shapes)))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
        if "lora_A" in name and start:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
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


@pytest.mark.parametrize("options", [*STARTED, {"use_rslora": True}], ids=str)
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


@pytest.mark.parametrize("options", STARTED, ids=str)
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


@pytest.mark.parametrize("start", [False, True])
def test_disabled_and_merged_adapters_take_pefts_way(start):
    plain = adapted(start=start)
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


@pytest.mark.parametrize("options", STARTED, ids=str)
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


@pytest.mark.parametrize(
    ("dtype", "options"),
    [(torch.float32, {}), (torch.float32, {"use_dora": True}), (torch.bfloat16, {})],
)
def test_a_start_is_the_base_to_the_last_bit(dtype, options):
    """But for DoRA in bfloat16, where W x is summed in another order."""
    model = adapted(dtype, start=True, **options)
    for layer in (m for m in model.modules() if hasattr(m, "lora_magnitude_vector")):
        begin(layer, start_of(layer))
    ours, count = fused(model)
    assert count == 2 * len(MODULES)
    with model.disable_adapter():
        assert torch.equal(ours(TOKENS).logits, model(TOKENS).logits)


def dora_row(moved=1.0, dtype=torch.bfloat16):
    """A DoRA projection at its start, with every m times `moved`, and inputs for it."""
    generator = torch.Generator().manual_seed(6)
    W = torch.randn(24, 32, generator=generator).to(dtype)
    A = torch.randn(4, 32, generator=generator)
    squared = squared_rows(W)
    m = squared.sqrt() * moved
    x = torch.randn(4096, 32, generator=generator).to(dtype)
    return Projection(W, None, A, torch.zeros(24, 4), 1.0, m, squared), x


def test_doras_identity_is_better_than_pefts_in_half_precision():
    """PEFT rounds m to the dtype of W, and with it a whole row."""
    projection, x = dora_row()
    exact = x.double() @ projection.weight.double().T
    [ours] = project(x, [projection])
    rounded = projection.magnitude.bfloat16().double() / projection.squared.double().sqrt()
    theirs = exact * rounded

    def row_error(found):
        """How far each row is off as a whole, in the mean over rows."""
        factors = (found.double() * exact).sum(0) / exact.square().sum(0)
        return float((factors - 1).abs().mean())

    assert row_error(ours) < 0.1 * row_error(theirs)


@pytest.mark.parametrize("percent", [0.05, 0.2, -0.1])
def test_a_small_move_of_m_moves_the_row(percent):
    """bfloat16 resolves 0.4 %: a factor or an output that is rounded before would not move."""
    still, x = dora_row()
    moved, _ = dora_row(1 + percent / 100)
    [before], [after] = (project(x, [one]) for one in (still, moved))
    before, after = before.double(), after.double()
    changes = 100 * ((after * before).sum(0) / before.square().sum(0) - 1)
    assert torch.allclose(changes, torch.full_like(changes, percent), atol=0.02)


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("dora", [False, True])
def test_half_precision_off_the_cpu_has_the_dtypes_and_shapes_of_that_on_it(dora, start):
    """On the meta device, which takes the way of a GPU, and under torch's counter as a first step.

    What a GPU computes there only a GPU can show.
    """
    projection, x = dora_row()
    A, B, m = projection.A, projection.B + 0.1, projection.magnitude
    begun = Start(A + 0.1, B - 0.1) if start else None
    found = []
    for device in ("cpu", "meta"):
        on = [t.detach().to(device) for t in (projection.weight, A, B, m, projection.squared)]
        weight, A_, B_, m_, squared = on
        trained = [t.requires_grad_() for t in (A_, B_, m_)]
        inputs = x.detach().to(device).requires_grad_()
        one = Projection(
            weight,
            None,
            A_,
            B_,
            1.0,
            m_ if dora else None,
            squared if dora else None,
            begun and Start(begun.A.to(device), begun.B.to(device)),
        )
        with FlopCounterMode(display=False) as counter:
            [output] = project(inputs, [one])
            output.backward(torch.ones_like(output))
        gradients = [t.grad for t in (*trained[: 3 if dora else 2], inputs)]
        shapes = [(t.dtype, t.shape) for t in (output, *gradients)]
        found.append((shapes, counter.get_total_flops()))
    assert found[0] == found[1]
    assert found[0][0][0] == (torch.bfloat16, (4096, 24))
