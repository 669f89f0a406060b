"""PiSSA, MiLoRA and CorDA against exact SVDs and against PEFT's own initialisation."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora.corda import preprocess_corda

from methods import decomposition
from methods.decomposition import (
    corda_factors,
    damped_covariance,
    minor_factors,
    principal_factors,
    reference_corda_factors,
)
from methods.subspaces import End
from methods.targets import linear_names

SHAPES = [(24, 24), (16, 40), (40, 16)]


def weight(shape, seed=0, *, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def covariance(size, samples=400, seed=1):
    X = weight((samples, size), seed, dtype=torch.float64) * torch.logspace(0, -1, size)
    return (X.T @ X / samples).float()


def relative(found, exact):
    found, exact = found.detach().double(), exact.detach().double()
    return float((found - exact).norm() / exact.norm())


@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 999), scale=st.sampled_from([0.5, 1, 4]))
@settings(deadline=None, max_examples=25)
def test_both_ends_of_the_plain_spectrum(shape, seed, scale):
    W, r = weight(shape, seed), 4
    U, S, Vh = torch.linalg.svd(W.double(), full_matrices=False)
    for factors, chosen in [
        (principal_factors(W, r, scale), slice(0, r)),
        (minor_factors(W, r, scale), slice(len(S) - r, None)),
    ]:
        piece = U[:, chosen] @ torch.diag(S[chosen]) @ Vh[chosen]
        assert relative(scale * factors.B @ factors.A, piece) < 1e-4
        assert relative(factors.singular_values, S[chosen] / scale) < 1e-4
        # Balanced: both carry the square root of the singular values.
        assert relative(factors.B.norm(dim=0), (S[chosen] / scale).sqrt()) < 1e-4
        assert relative(factors.A.norm(dim=1), (S[chosen] / scale).sqrt()) < 1e-4


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("end", End)
def test_corda_is_the_svd_of_weight_times_covariance(shape, end):
    W, C, r, scale = weight(shape), damped_covariance(covariance(shape[1])), 4, 2.0
    U, S, Vh = torch.linalg.svd(W.double() @ C, full_matrices=False)
    chosen = slice(0, r) if end is End.LARGEST else slice(len(S) - r, None)
    root = (S[chosen] / scale).sqrt()
    B, A = U[:, chosen] * root, root[:, None] * (Vh @ torch.linalg.inv(C))[chosen]
    found = corda_factors(W, C, r, scale, end)
    assert relative(found.B @ found.A, B @ A) < 1e-6
    assert relative(found.B.norm(dim=0), B.norm(dim=0)) < 1e-6
    assert relative(found.A.norm(dim=1), A.norm(dim=1)) < 1e-6
    assert found.condition == pytest.approx(float(S[0] / S[-1]), rel=1e-4)
    reference = reference_corda_factors(W, C, r, scale, end)
    assert relative(reference.B @ reference.A, B @ A) < 1e-3


@pytest.mark.parametrize("shape", [(150, 150), (100, 180), (180, 100)])
@pytest.mark.parametrize("end", End)
def test_corda_of_ill_conditioned_products_is_that_of_an_svd(shape, end):
    W, r = weight(shape), 8
    C = damped_covariance(covariance(shape[1]) * torch.logspace(0, -2, shape[1])[:, None])
    U = torch.linalg.svd(W.double() @ C, full_matrices=False).U
    chosen = U[:, :r] if end is End.LARGEST else U[:, -r:]
    found = corda_factors(W, C, r, 1.0, end)
    assert relative(found.B @ found.A, chosen @ chosen.T @ W.double()) < 1e-6


def test_rank_deficient_weight_stays_finite():
    W = weight((16, 3)) @ weight((3, 24), 1)
    for factors in [minor_factors(W, 4, 1.0), principal_factors(W, 8, 1.0)]:
        assert torch.isfinite(factors.A).all()
        assert torch.isfinite(factors.B).all()


def test_smallest_directions_are_not_null_ones():
    factors = minor_factors(weight((40, 16)), 4, 1.0)
    assert factors.singular_values.min() > 0.1


def test_damping_doubles_until_float32_can_invert():
    C = covariance(16)
    mean = float(C.diagonal().mean())
    identity = torch.eye(16, dtype=torch.float64)
    assert torch.allclose(damped_covariance(C), C.double() + 0.01 * mean * identity)
    spread = torch.diag(torch.tensor([1e9] + [1e-9] * 15))
    assert damped_covariance(spread).diagonal().min() >= 0.01 * 1e9 / 16
    with pytest.raises(ValueError, match="cannot be inverted"):
        damped_covariance(torch.zeros(4, 4))
    with pytest.raises(ValueError, match="not finite"):
        damped_covariance(torch.full((4, 4), float("nan")))


@pytest.mark.parametrize("spread", [1.0, 1e4, 1e8, 1e12])
def test_an_estimate_decides_on_damping_as_an_inverse_does(spread, monkeypatch):
    C = covariance(120) * torch.logspace(0, -1, 120)[:, None]
    C = (C + C.T) / 2
    C[0, 0] *= spread
    found = damped_covariance(C)
    monkeypatch.setattr(decomposition, "INVERSE_MARGIN", float("inf"))
    assert torch.equal(found, damped_covariance(C))


def test_the_estimate_spares_an_inverse(monkeypatch):
    monkeypatch.setattr(torch.linalg, "inv_ex", None)
    damped_covariance(covariance(120))


def test_pissa_equals_peft(make_tiny, cases, tiny_base):
    from methods.parts import ADAPTERS

    config = LoraConfig(
        r=8, lora_alpha=4, init_lora_weights="pissa", target_modules=linear_names(tiny_base.model)
    )
    theirs = get_peft_model(make_tiny(), config)
    ours = cases.attach(tiny_base, ADAPTERS["pissa"](r=8, alpha=4)).model
    compared = 0
    for name, layer in theirs.named_modules():
        if hasattr(layer, "lora_A") and "default" in layer.lora_A:
            own = ours.get_submodule(name)
            expected = layer.get_delta_weight("default")
            assert relative(own.get_delta_weight("default"), expected) < 1e-4
            singular = layer.lora_B["default"].weight.norm(dim=0)
            assert relative(own.lora_B["default"].weight.norm(dim=0), singular) < 1e-4
            compared += 1
    assert compared == 14


@pytest.mark.parametrize("mode", ["kpm", "ipm"])
@pytest.mark.parametrize("precision", ["float64", "reference"])
def test_corda_equals_peft_from_the_same_covariance(
    mode, precision, make_tiny, cases, tiny_base, tmp_path
):
    from methods.parts import ADAPTERS

    adapter = ADAPTERS["corda"](r=8, mode=mode, precision=precision, calibration="train")
    ours = cases.attach(tiny_base, adapter)
    names = linear_names(tiny_base.model)
    covariances = ours.setting.signals.covariance(cases.facts, None, adapter.pack)
    file = tmp_path / "covariance.pt"
    torch.save({name: covariances[name].clone() for name in names}, file)
    config = LoraConfig(
        r=8,
        lora_alpha=8,
        target_modules=names,
        init_lora_weights="corda",
        corda_config=CordaConfig(covariance_file=str(file), corda_method=mode),
    )
    model = make_tiny()
    preprocess_corda(model, config)
    singular = {n: copy.deepcopy(model.get_submodule(n).eigens.S_WC) for n in names}
    theirs = get_peft_model(model, config)
    for name in names:
        expected = theirs.get_submodule(f"base_model.model.{name}").get_delta_weight("default")
        found = ours.prepared.factors[name]
        # PEFT inverts the covariance in float32: what that costs depends on the processor.
        exact = plain_corda(tiny_base.model.get_submodule(name).weight, covariances[name], 8, mode)
        lost = relative(expected, exact) if precision == "float64" else 0.0
        assert lost < 1e-2
        assert relative(found.B @ found.A, expected) < 1e-3 + lost
        assert relative(found.B @ found.A, exact) < (1e-5 if precision == "float64" else 1e-2)
        assert relative(found.singular_values, singular[name]) < 1e-3


def plain_corda(W, C, r, mode):
    """Return B A by an explicit inverse and a whole decomposition in float64."""
    C = damped_covariance(C).double()
    U, S, Vh = torch.linalg.svd(W.double() @ C, full_matrices=False)
    chosen = slice(-r, None) if mode == "kpm" else slice(r)
    return U[:, chosen] * S[chosen] @ (Vh @ torch.linalg.inv(C))[chosen]
