"""Starts that are not zero: the function of a cut base, on a base that is left alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from methods.difference import Start, begin, start_of
from methods.parts import ADAPTERS
from tasks.notation import build_part, parse_part
from tests.methods.test_transposed_weights import gpt2

OURS = ["pissa[r=4,alpha=6]", "milora[r=4]", "olora[r=4]", "corda[r=4]", "corda[r=4,mode=ipm]"]
OURS += ["astra[r=4]", "sc_lora[r=4,alpha=6]", "lora_null[r=4]", "corda_pp[r=4]"]
OURS += ["lora_ga[r=4]", "lora_ga[r=4,alpha=6,form=paper]"]
THEIRS = [
    {"init_lora_weights": "pissa"},
    {"init_lora_weights": "pissa", "use_rslora": True},
    {"init_lora_weights": "pissa", "use_dora": True},
    {"init_lora_weights": "pissa_niter_4"},
    {"init_lora_weights": "olora", "use_dora": True},
]


@pytest.fixture
def part(tmp_path):
    """Build an adapter from its name, or from the values of a PEFT configuration."""

    def build(written):
        if isinstance(written, str):
            name, given = parse_part(written)
            return build_part(ADAPTERS[name], name, given)
        file = tmp_path / "adapter_config.json"
        file.write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 6, **written}))
        return ADAPTERS["peft"](path=str(file))

    return build


def bases(tokenizer, make_tiny):
    return [Base("llama", "0", make_tiny(), tokenizer), Base("gpt2", "0", gpt2(), tokenizer)]


def layers(model):
    return {n: m for n, m in model.named_modules() if "default" in getattr(m, "lora_A", ())}


def is_refused(base, written):
    return base.name == "gpt2" and "olora" in str(written) and not isinstance(written, str)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("written", [*OURS, *THEIRS], ids=str)
def test_a_start_is_the_base_to_the_last_bit(written, dtype, part, cases, tiny_base, make_tiny):
    for base in bases(tiny_base.tokenizer, make_tiny):
        if is_refused(base, written):
            continue
        base.model.to(dtype)
        cell = cases.attach(base, part(written))
        assert all(start_of(layer) for layer in layers(cell.model).values())
        assert torch.equal(cell.logits(), cases.logits_of(base.model)), base.name


@pytest.mark.parametrize(
    "written", [*OURS, *THEIRS, "lora", "dora", "rslora", "eva", "lora_one"], ids=str
)
def test_attaching_copies_nothing_of_the_base(written, part, cases, tiny_base):
    cell = cases.attach(tiny_base, part(written))
    shared = {p.data_ptr() for p in tiny_base.model.parameters()}
    parameters = list(cell.model.parameters())
    own = [p for p in parameters if p.data_ptr() not in shared]
    assert {id(p) for p in own} == {id(p) for p in parameters if p.requires_grad}
    largest = max(p.nbytes for p in tiny_base.model.parameters())
    assert all(tensor.nbytes <= largest for tensor in own)


def redrawn(model, by=0.05):
    """Move everything that is trained, and return the model."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += by * noise * parameter.data.abs().mean()
    return model


def whole(layer):
    """W + s (B A - B_0 A_0), or DoRA's weight from it, `[d_out, d_in]` in float64."""
    start = start_of(layer)
    stored = layer.base_layer.weight.detach().double()
    W = stored.T if layer.fan_in_fan_out else stored
    A, B = layer.lora_A["default"].weight.double(), layer.lora_B["default"].weight.double()
    W = W + layer.scaling["default"] * (B @ A - start.B.double() @ start.A.double())
    if "default" in layer.lora_magnitude_vector:
        m = layer.lora_magnitude_vector["default"].weight.double()
        W = (m / W.norm(dim=1))[:, None] * W
    return W.detach()


def drawn(*shape, seed=5):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("written", ["pissa[r=4,alpha=6]", "olora[r=4]", THEIRS[2]], ids=str)
def test_the_function_is_that_of_the_weight_written_out(written, part, cases, tiny_base, make_tiny):
    for base in bases(tiny_base.tokenizer, make_tiny):
        cell = cases.attach(base, part(written))
        redrawn(cell.model)
        for name, layer in layers(cell.model).items():
            x, W = drawn(5, layer.in_features), whole(layer)
            expected = x.double() @ W.T
            if layer.base_layer.bias is not None:
                expected = expected + layer.base_layer.bias.double()
            assert torch.allclose(layer(x).double(), expected, atol=1e-5), name


@pytest.mark.parametrize("dora", [False, True])
def test_the_gradients_are_those_of_the_weight_written_out(dora):
    """The norm is a constant backwards, as in DoRA's paper."""
    layer, _ = lone(dora)
    redrawn(layer)
    x, dy, start = drawn(7, 12), drawn(7, 9, seed=8), start_of(layer)
    trained = {n: p for n, p in layer.named_parameters() if p.requires_grad}
    assert len(trained) == (3 if dora else 2)
    (layer(x) * dy).sum().backward()

    own = {name: p.detach().double().requires_grad_() for name, p in trained.items()}
    A, B = own["lora_A.default.weight"], own["lora_B.default.weight"]
    W = layer.base_layer.weight.double()
    W = W + 1.5 * (B @ A - start.B.double() @ start.A.double())
    if dora:
        m = own["lora_magnitude_vector.default.weight"]
        W = (m / W.norm(dim=1).detach())[:, None] * W
    (x.double() @ W.T * dy).sum().backward()
    for name, parameter in trained.items():
        assert torch.allclose(parameter.grad.double(), own[name].grad, atol=1e-4), name


def lone(dora=False, dropout=0.0, bias=True, dtype=torch.float32):
    """A LoRA layer of PEFT by itself, begun at some factors."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 9, bias=bias)).to(dtype)
    config = LoraConfig(
        r=4, lora_alpha=6, target_modules=["0"], use_dora=dora, lora_dropout=dropout
    )
    layer = get_peft_model(model, config).base_model.model[0]
    begin(layer, Start(drawn(4, 12, seed=1), drawn(9, 4, seed=2)))
    return layer, model


def test_dropout_acts_on_the_trained_term_alone():
    layer, _ = lone(dropout=0.5)
    redrawn(layer)
    x, start = drawn(6, 12), start_of(layer)
    torch.manual_seed(4)
    found = layer.train()(x)
    torch.manual_seed(4)
    dropped = layer.lora_dropout["default"](x)
    assert (dropped == 0).any()
    A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    expected = layer.base_layer(x) + 1.5 * (dropped @ A.T @ B.T - x @ start.A.T @ start.B.T)
    assert torch.allclose(found, expected, atol=1e-5)


def test_an_update_keeps_its_precision_on_a_half_precision_base():
    """One of a thousandth of B: a base that holds W - s B_0 A_0 in bfloat16 is off by far more."""
    layer, _ = lone(dtype=torch.bfloat16, bias=False)
    start, x = start_of(layer), drawn(50, 12).bfloat16()
    layer.lora_B["default"].weight.data *= 1 + 1e-3 * drawn(9, 4)
    B = layer.lora_B["default"].weight.detach()
    exact = 1.5 * (x.double() @ start.A.T.double() @ (B - start.B).T.double())
    zero = torch.zeros(50, 9)
    found = layer.lora_variant["default"].forward(
        layer, active_adapter="default", x=x.float(), result=zero
    )
    assert (found - exact).norm() < 1e-4 * exact.norm()
    W = layer.base_layer.weight.double()
    cut = (W - 1.5 * start.B.double() @ start.A.double()).bfloat16().double()
    naive = x.double() @ (cut + 1.5 * B.double() @ start.A.double() - W).T
    assert (naive - exact).norm() > exact.norm()


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("dora", [False, True])
def test_merging_is_right_and_unmerging_gives_the_weight_back(safe, dora):
    layer, _ = lone(dora)
    redrawn(layer)
    pristine = layer.base_layer.weight.data
    before, x = pristine.clone(), drawn(5, 12)
    expected = layer(x)
    layer.merge(safe_merge=safe)
    assert torch.allclose(layer.base_layer(x), expected, atol=1e-5)
    assert torch.allclose(layer(x), expected, atol=1e-5)
    assert torch.equal(pristine, before), "the storage that the base shares is not written to"
    layer.unmerge()
    assert layer.base_layer.weight.data_ptr() == pristine.data_ptr()
    assert torch.equal(layer(x), expected)


def test_a_disabled_adapter_is_the_base(part, cases, tiny_base):
    cell = cases.attach(tiny_base, part("pissa[r=4]"))
    redrawn(cell.model)
    with cell.model.disable_adapter():
        assert torch.equal(cell.logits(), cases.logits_of(tiny_base.model))


def test_peft_does_not_convert_it_as_if_b_a_were_the_change():
    layer, _ = lone()
    assert not layer.supports_lora_conversion()


def test_cells_of_one_start_share_it_and_their_state_does_not_hold_it(part, cases, tiny_base):
    adapter = part("pissa[r=4]")
    cell = cases.attach(tiny_base, adapter)
    again = adapter.attach(replace(cell.setting, model=borrow(tiny_base).model), cell.prepared)
    pairs = zip(layers(cell.model).values(), layers(again).values(), strict=True)
    for one, two in pairs:
        assert start_of(one) is start_of(two)
        A = one.lora_A["default"].weight
        assert A.data_ptr() != start_of(one).A.data_ptr()
        assert torch.equal(A, start_of(one).A)
    state = cell.model.state_dict()
    assert len([key for key in state if "lora_" in key]) == 2 * len(layers(cell.model))
    assert not any(p is start_of(one).A for p in cell.model.parameters())


def test_a_plain_layer_has_no_start(part, cases, tiny_base):
    for written in ("lora[r=4]", "dora[r=4]", "eva[r=4]", "lora_one[r=4]", "keep_lora[r=4]"):
        cell = cases.attach(tiny_base, part(written))
        assert {start_of(layer) for layer in layers(cell.model).values()} == {None}
    assert start_of(nn.Linear(2, 2)) is None


def test_doras_magnitudes_are_not_rounded_to_the_bases_dtype(part, cases, tiny_base):
    tiny_base.model.bfloat16()
    for written in ("dora[r=4]", {"use_dora": True, "init_lora_weights": "gaussian"}):
        cell = cases.attach(tiny_base, part(written))
        for layer in layers(cell.model).values():
            m = layer.lora_magnitude_vector["default"].weight
            assert torch.allclose(m, layer.base_layer.weight.float().norm(dim=1), rtol=1e-6)
        assert torch.equal(cell.logits(), cases.logits_of(tiny_base.model))
