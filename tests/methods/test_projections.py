"""Starts that are a projector times the weight: what each cuts out, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from methods.calibration import calibration_facts, text_batches
from methods.decomposition import principal_factors
from methods.parts import ADAPTERS
from methods.peft_adapter import lora_layers
from methods.projections import (
    eigenvectors,
    left_factors,
    main_directions,
    output_directions,
    right_factors,
)
from methods.subspaces import End
from methods.targets import linear_names, weight_of
from tasks.fact import Fact
from tasks.notation import build_part, parse_part
from tasks.prompt import fact_text

SHAPES = [(12, 12), (20, 9), (9, 20), (100, 70), (70, 100)]
LEFT = ["astra", "astra[mode=kpm]", "sc_lora", "sc_lora[beta=0.9]", "sc_lora[centred=true]"]
RIGHT = ["lora_null", "lora_null[variant=v2]"]


def part(written):
    name, given = parse_part(written)
    return build_part(ADAPTERS[name], name, {"r": "4", "alpha": "6", **given})


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moment(size, tokens, seed=1):
    X = drawn(tokens, size, seed=seed) * 0.9 ** torch.arange(size)
    return X.T @ X / tokens


def projector(Q):
    return Q.double() @ Q.double().T


def close(found, expected, tolerance=1e-5):
    return torch.allclose(found.double(), expected.double(), atol=tolerance, rtol=0)


def identity(size):
    return torch.eye(size, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_both_sides_cut_out_what_their_projector_says(shape, scale):
    W = drawn(*shape).float()
    left, right = (torch.linalg.qr(drawn(side, 3, seed=2))[0] for side in shape)
    cut = left_factors(W, left, scale)
    assert close(scale * cut.B @ cut.A, projector(left) @ W.double())
    cut = right_factors(W, right, scale)
    assert close(scale * cut.B @ cut.A, W.double() @ projector(right))
    assert close(cut.B.norm(dim=0), cut.A.norm(dim=1)), "each direction is shared evenly"
    assert (cut.singular_values.diff() <= 0).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("end", End)
def test_directions_of_outputs_are_eigenvectors_of_their_covariance(shape, end):
    W, C = drawn(*shape), moment(shape[1], 400)
    Q = output_directions(W.float(), C.float(), 5, end)
    values = torch.linalg.eigvalsh(W @ C @ W.T)
    wanted = values.flip(0)[:5] if end is End.LARGEST else values.flip(0)[-5:]
    assert close(Q.T @ Q, identity(5), 1e-9)
    scale = float(values[-1])
    assert close((Q.T @ W @ C @ W.T @ Q) / scale, torch.diag(wanted) / scale)


@settings(max_examples=40)
@given(
    d_out=st.integers(3, 14),
    d_in=st.integers(3, 14),
    rank=st.integers(1, 3),
    positive=st.integers(0, 14),
    seed=st.integers(0, 99),
)
def test_no_directions_have_larger_eigenvalues_than_those_found(d_out, d_in, rank, positive, seed):
    """Also of a difference with few positive eigenvalues: null directions come before negative."""
    W, X = drawn(d_out, d_in, seed=seed), drawn(d_in, d_in, seed=seed + 1)
    signs = torch.where(torch.arange(d_in) < positive, 1.0, -1.0).double()
    D = (X * signs) @ X.T
    Q = output_directions(W, D, rank, End.LARGEST)
    whole = W @ D @ W.T
    best = torch.linalg.eigvalsh(whole)[-rank:].sum()
    assert torch.allclose((Q.T @ whole @ Q).trace(), best, atol=1e-8 * float(whole.norm()))


def test_eigenvectors_come_in_descending_order_from_either_end():
    C = moment(10, 300)
    whole = eigenvectors(C, 10, End.LARGEST)
    assert (torch.diag(whole.T @ C @ whole).diff() < 0).all()
    assert torch.equal(eigenvectors(C, 3, End.SMALLEST), whole[:, -3:])


@pytest.mark.parametrize("shape", SHAPES)
def test_astra_with_no_covariance_has_the_left_space_of_pissa(shape):
    W = drawn(*shape).float()
    Q = output_directions(W, identity(shape[1]), 4, End.LARGEST)
    U = torch.linalg.qr(principal_factors(W, 4, 1.0).B.double())[0]
    assert close(projector(Q), projector(U))


@pytest.mark.parametrize("written", LEFT + RIGHT)
def test_a_start_is_its_projection_of_the_weight_and_the_rest_is_left(written, cases, tiny_base):
    cell = cases.attach(tiny_base, part(written))
    for name, layer in lora_layers(cell.model):
        W = weight_of(tiny_base.model.get_submodule(name)).double()
        A, B = (layer.lora_A["default"].weight, layer.lora_B["default"].weight)
        product = layer.scaling["default"] * (B.double() @ A.double()).detach()
        if written in RIGHT:
            Q = torch.linalg.qr(A.double().T.detach())[0]
            assert close(product, W @ projector(Q)), name
        else:
            Q = B.double().detach()
            assert close(Q.T @ Q, identity(4)), name
            assert close(product, projector(Q) @ W), name
        rest = W - product
        assert close(rest + product, W, 1e-12)
        assert torch.linalg.matrix_rank(rest, atol=1e-5) <= min(W.shape)


def spaces(cell):
    """The projector on the columns of B, by target."""
    found = cell.prepared.factors
    return {name: projector(torch.linalg.qr(f.B.double())[0]) for name, f in found.items()}


def test_sc_lora_without_what_is_kept_is_astra(cases, tiny_base):
    """On one sample; of several, Astra weighs each by its largest input."""
    asked = ("astra[samples=12]", "sc_lora[beta=0,samples=12]", "sc_lora[samples=12]")
    astra, task, balanced = (spaces(cases.attach(tiny_base, part(written))) for written in asked)
    assert all(close(astra[name], task[name], 1e-4) for name in astra)
    assert not all(close(astra[name], balanced[name], 1e-2) for name in astra)


def outputs_on(base, facts):
    """What every linear layer puts out, `[tokens, d_out]`, on facts that fit into one window."""
    found, linear = {}, {name: base.model.get_submodule(name) for name in linear_names(base.model)}
    handles = [
        module.register_forward_hook(lambda _, __, y, name=name: found.update({name: y[0]}))
        for name, module in linear.items()
    ]
    logits_on(base.model, base, facts)
    for handle in handles:
        handle.remove()
    return {name: y.double() for name, y in found.items()}


def test_sc_lora_takes_the_covariances_of_outputs(cases, tiny_base):
    facts = cases.facts[12:], cases.facts[:9]
    cell = cases.attach(tiny_base, part("sc_lora[beta=0.3,centred=true]"), calibration=facts[1])
    setting = replace(cell.setting, model=tiny_base.model, facts=facts[0])
    cell.prepared = cell.adapter.prepare(setting)
    task, keep = (outputs_on(tiny_base, some) for some in facts)
    for name, found in spaces(cell).items():
        one, other = (torch.cov(outputs[name].T, correction=0) for outputs in (task, keep))
        Q = eigenvectors(0.7 * one - 0.3 * other, 4, End.LARGEST)
        assert close(found, projector(Q), 1e-3), name


SHORT = (Fact("s", "Who?", ("I",)),)


def logits_on(model, base, facts):
    texts = [fact_text(fact) for fact in calibration_facts(facts)]
    [batch] = text_batches(base.tokenizer, texts, torch.device("cpu"), 999)
    with torch.no_grad():
        return model(**batch).logits


@pytest.mark.parametrize(("variant", "kept"), [("v1", False), ("v2", True), ("zero", False)])
def test_lora_null_with_a_frozen_leaves_what_it_calibrated_on_alone(
    variant, kept, cases, tiny_base
):
    cell = cases.attach(tiny_base, part(f"lora_null[variant={variant}]"), calibration=SHORT)
    before = logits_on(tiny_base.model, tiny_base, SHORT)
    assert before.shape[1] <= 32 - 4, "no more tokens than leave a null space of the rank"
    start = cell.logits()
    cell.train(steps=8, rate=2e-2)
    assert (cell.logits() - start).abs().max() > 1e-2, "it must have learned something"
    moved = (logits_on(cell.model, tiny_base, SHORT) - before).abs().max()
    assert moved < 1e-4 if kept else moved > 1e-3


def test_lora_null_has_the_inputs_that_vary_least(cases, tiny_base):
    cell = cases.attach(tiny_base, part("lora_null[variant=zero]"))
    found = cell.setting.signals.covariance(cell.setting.calibration, None, 2048)
    for name, layer in lora_layers(cell.model):
        A, C = layer.lora_A["default"].weight.double().detach(), found[name].double()
        assert close(A @ A.T, identity(4)), name
        least = torch.linalg.eigvalsh(C)[:4].sum()
        assert torch.allclose((A @ C @ A.T).trace(), least, rtol=1e-3), name
        assert not layer.lora_B["default"].weight.any()


def test_mica_is_that_of_peft(cases, tiny_base, make_tiny):
    cell = cases.attach(tiny_base, part("mica"))
    config = LoraConfig(
        r=4, lora_alpha=6, init_lora_weights="mica", target_modules=linear_names(tiny_base.model)
    )
    theirs = dict(lora_layers(get_peft_model(make_tiny(), config)))
    for name, layer in lora_layers(cell.model):
        ours, B = layer.lora_B["default"].weight, theirs[name].lora_B["default"].weight
        assert close(projector(ours.detach()), projector(B.detach()), 1e-4), name
        assert not layer.lora_A["default"].weight.any()
        assert not theirs[name].lora_A["default"].weight.any()
        assert not ours.requires_grad
        assert not B.requires_grad
    trained = sum(p.numel() for p in cell.model.parameters() if p.requires_grad)
    assert trained == sum(p.numel() for layer in theirs.values() for p in layer.lora_A.parameters())


@pytest.mark.parametrize("shape", SHAPES)
def test_main_directions_are_those_of_an_svd(shape):
    W = drawn(*shape)
    kept = main_directions(W.float(), 3)
    U, _, Vh = torch.linalg.svd(W)
    assert close(projector(kept.U), projector(U[:, :3]))
    assert close(projector(kept.V), projector(Vh[:3].T))


def test_oplora_keeps_the_largest_singular_triples_of_every_weight(cases, tiny_base):
    cell = cases.attach(tiny_base, part("oplora[k=5]"))
    plain = cases.attach(tiny_base, part("lora"))
    for one in (cell, plain):
        one.train(steps=6, rate=2e-2)
    for name, layer in lora_layers(cell.model):
        W = weight_of(tiny_base.model.get_submodule(name)).double()
        U, S, Vh = torch.linalg.svd(W)
        dW = layer.get_delta_weight("default").double().detach()
        free = dict(lora_layers(plain.model))[name].get_delta_weight("default").double().detach()
        assert dW.norm() > 1e-3, name
        for change, outside in ((dW, True), (free, False)):
            most = float(max((U[:, :5].T @ change).norm(), (change @ Vh[:5].T).norm()))
            assert (most < 1e-5 * float(change.norm())) is outside, name
        triples = U[:, :5].T @ (W + dW) @ Vh[:5].T
        assert close(triples, torch.diag(S[:5])), name


def test_oplora_says_where_nothing_is_left_to_train(cases, tiny_base):
    cell = cases.attach(tiny_base, part("oplora[k=16]"))
    [line] = [w for n in cell.adapter.notes(cell.model, cell.prepared) for w in n.warnings]
    assert "all 16 directions" in line
    assert "k_proj" in line
    assert "3 more" in line
