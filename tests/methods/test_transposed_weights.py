"""Starts on GPT-2, whose `Conv1D` stores every weight as `[d_in, d_out]`, square ones too."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from transformers import GPT2Config, GPT2LMHeadModel

from bench.models.loading import Base
from methods.decomposition import damped_covariance
from methods.parts import ADAPTERS
from tasks.errors import UsageError
from tasks.notation import build_part, parse_part

RANK, SCALE = 4, 1.5
NAMES = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
TARGETS = [f"transformer.h.{layer}.{name}" for layer in (0, 1) for name in NAMES]
SHIPPED = ["lora", "rslora", "dora", "pissa", "milora", "olora", "eva"]
SHIPPED += ["lora_ga", "lora_ga[form=paper]", "lora_one", "keep_lora"]
SHIPPED += ["corda[mode=kpm]", "corda[mode=ipm]", "corda[precision=reference]"]
SHIPPED += ["astra", "sc_lora", "lora_null", "mica", "oplora", "corda_pp"]


def gpt2():
    """A random GPT-2 of two layers for the byte tokenizer; `attn.c_proj` is square."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=257, n_positions=256, n_embd=32, n_layer=2, n_head=4, pad_token_id=0
    )
    return GPT2LMHeadModel(config).eval().requires_grad_(False)


def part(written):
    name, given = parse_part(written)
    return build_part(ADAPTERS[name], name, {"r": str(RANK), "alpha": str(RANK * SCALE), **given})


@pytest.fixture
def base(tiny_base):
    return Base("gpt2", "0", gpt2(), tiny_base.tokenizer)


def weight(model, name):
    """Return W of a layer, out x in, in float64."""
    return model.get_submodule(name).weight.detach().double().T


def layer_of(cell, name):
    return cell.model.get_submodule(f"base_model.model.{name}")


def product(cell, name):
    """Return s B A of an attached layer in float64."""
    layer = layer_of(cell, name)
    A, B = layer.lora_A["default"].weight.double(), layer.lora_B["default"].weight.double()
    return layer.scaling["default"] * B @ A


def largest(W):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, :RANK] * S[:RANK] @ Vh[:RANK]


def smallest(W):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, -RANK:] * S[-RANK:] @ Vh[-RANK:]


def orthonormal(W):
    Q, R = torch.linalg.qr(W)
    return SCALE * Q[:, :RANK] @ R[:RANK]


@pytest.mark.parametrize("written", SHIPPED)
def test_start_is_an_identity_that_is_saved_for_the_untouched_base(written, base, cases, tmp_path):
    cell = cases.attach(base, part(written))
    start = cell.logits()
    difference = (start - cases.logits_of(base.model)).abs().max()
    assert (difference < 1e-4) == cell.adapter.starts_as_base
    cell.train()
    trained = cell.logits()
    assert (trained - start).abs().max() > 1e-2
    loaded = PeftModel.from_pretrained(gpt2(), str(cell.save(tmp_path / "saved")))
    assert (cases.logits_of(loaded) - trained).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("written", "formula"),
    [("pissa", largest), ("milora", smallest), ("olora", orthonormal)],
)
def test_start_is_the_formula_on_weights_out_x_in(written, formula, base, cases):
    cell = cases.attach(base, part(written))
    for name in TARGETS:
        W = weight(base.model, name)
        assert torch.allclose(product(cell, name), formula(W), atol=1e-6), name
        own = layer_of(cell, name).base_layer.weight
        assert own.data_ptr() == base.model.get_submodule(name).weight.data_ptr(), name


@pytest.mark.parametrize(("mode", "end"), [("kpm", slice(-RANK, None)), ("ipm", slice(0, RANK))])
def test_corda_projects_weights_out_x_in(mode, end, base, cases):
    cell = cases.attach(base, part(f"corda[mode={mode}]"), calibration=cases.facts)
    facts = cell.setting.calibration if mode == "kpm" else cell.setting.facts
    found = cell.setting.signals.covariance(facts, cell.adapter.samples, cell.adapter.pack)
    for name in TARGETS:
        W = weight(base.model, name)
        C = damped_covariance(found.matrices[found.input_of(name)])
        U = torch.linalg.svd(W @ C, full_matrices=False)[0][:, end]
        assert torch.allclose(product(cell, name), U @ U.T @ W, atol=1e-5), name


def test_eva_starts_along_the_inputs(base, cases):
    cell = cases.attach(base, part("eva[rho=1]"))
    for name in TARGETS:
        A = layer_of(cell, name).lora_A["default"].weight
        assert A.shape == (RANK, weight(base.model, name).shape[1])
        assert torch.allclose(A @ A.T, torch.eye(RANK), atol=1e-5)


def test_dora_takes_the_norms_of_outputs(base, cases):
    cell = cases.attach(base, part("dora"))
    for name in TARGETS:
        magnitude = layer_of(cell, name).lora_magnitude_vector["default"].weight
        assert torch.allclose(magnitude.double(), weight(base.model, name).norm(dim=1), atol=1e-6)


def written_config(folder, **values):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({"peft_type": "LORA", "r": RANK, **values}))
    return ADAPTERS["peft"](path=str(file))


def test_pissa_of_peft_is_right_too(base, cases, tmp_path):
    cell = cases.attach(base, written_config(tmp_path, init_lora_weights="pissa"))
    for name in TARGETS:
        assert torch.allclose(product(cell, name), largest(weight(base.model, name)), atol=1e-6)
    cell.train()
    loaded = PeftModel.from_pretrained(gpt2(), str(cell.save(tmp_path / "saved")))
    assert (cases.logits_of(loaded) - cell.logits()).abs().max() < 1e-4


@pytest.mark.parametrize("targets", [["c_proj"], ["attn.c_proj"], ["c_attn", "c_fc"]])
def test_olora_of_peft_is_refused(targets, base, cases, tmp_path):
    adapter = written_config(tmp_path, init_lora_weights="olora", target_modules=targets)
    with pytest.raises(UsageError) as error:
        cases.attach(base, adapter)
    assert "\n" not in str(error.value)


def test_olora_of_peft_on_square_weights_names_the_way_out(base, cases, tmp_path):
    # Shapes fit there, so that PEFT itself says nothing and starts from a wrong decomposition.
    adapter = written_config(tmp_path, init_lora_weights="olora", target_modules=["attn.c_proj"])
    with pytest.raises(UsageError, match=r"transposed weights .* use the adapter olora"):
        cases.attach(base, adapter)
