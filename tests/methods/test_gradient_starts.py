"""LoRA-GA, LoRA-One and KeepLoRA: what they start from, against PEFT and written out plainly."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraGAConfig, preprocess_loraga

from bench.models.loading import Base
from methods.notes import stored
from methods.parts import ADAPTERS
from methods.subspaces import leading_triplets
from methods.targets import linear_layers, weight_of
from tasks.errors import UsageError
from tasks.notation import build_part, parse_part
from tasks.prompt import fact_text
from tests.methods.conftest import row_losses, rows_of
from tests.methods.test_transposed_weights import gpt2


def part(written):
    name, given = parse_part(written)
    return build_part(ADAPTERS[name], name, given)


def layer_of(cell, name):
    return cell.model.get_submodule(f"base_model.model.{name}")


def factors_of(cell, name):
    """Return A, B and s of an attached layer, in float64."""
    layer = layer_of(cell, name)
    A, B = layer.lora_A["default"].weight.double(), layer.lora_B["default"].weight.double()
    return A.detach(), B.detach(), layer.scaling["default"]


def svd(matrix):
    U, S, Vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    return U, S, Vh


def up_to_signs(found, expected, axis):
    """Largest difference of rows (axis 0) or columns (axis 1), each up to its sign."""
    signs = (found * expected).sum(1 - axis, keepdim=True).sign()
    return float((found - signs * expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    ("kind", "r", "alpha"), [("llama", 8, 8), ("llama", 8, 12), ("gpt2", 8, 12)]
)
def test_lora_ga_starts_as_pefts_own_on_the_same_data(kind, r, alpha, cases, tiny_base, make_tiny):
    """At a rank of a quarter of the smaller side, from which on PEFT's random SVD is exact."""
    make = make_tiny if kind == "llama" else gpt2
    base = Base(kind, "0", make(), tiny_base.tokenizer)
    cell = cases.attach(base, part(f"lora_ga[r={r},alpha={alpha},samples=none]"))

    theirs = make()
    losses = row_losses(theirs)

    def step():
        for batch in rows_of(base.tokenizer, map(fact_text, cases.facts), 1):
            losses(batch).sum().backward()

    names = [name for name, _ in linear_layers(theirs)]
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,
        target_modules=names,
        init_lora_weights="lora_ga",
        lora_ga_config=LoraGAConfig(),
        fan_in_fan_out=kind == "gpt2",
    )
    for module in theirs.modules():  # PEFT measures in training mode
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    preprocess_loraga(theirs, config, step)
    torch.manual_seed(0)
    model = get_peft_model(theirs, config).eval()
    for name in names:
        A, B, _ = factors_of(cell, name)
        layer = model.base_model.model.get_submodule(name)
        own_A = layer.lora_A["default"].weight.detach().double()
        own_B = layer.lora_B["default"].weight.detach().double()
        if kind == "gpt2":  # PEFT reads d_out off the stored weight, which is transposed there
            own_B *= (len(B) / A.shape[1]) ** 0.25
        assert up_to_signs(A, own_A, axis=0) < 1e-4, name
        assert up_to_signs(B, own_B, axis=1) < 1e-4, name


def test_lora_ga_of_the_paper_scales_both_sides_and_leaves_the_values_out(cases, tiny_base):
    cell = cases.attach(tiny_base, part("lora_ga[r=4,form=paper]"))
    gradients = cell.setting.signals.gradient(cases.facts, 64).matrices
    for name, G in gradients.items():
        A, B, _ = factors_of(cell, name)
        U, _, Vh = svd(G)
        scale = len(G) ** 0.25 / 4
        assert up_to_signs(A, scale * Vh[:4], axis=0) < 1e-4
        assert up_to_signs(B, scale * U[:, 4:8], axis=1) < 1e-4


def test_where_a_gradient_has_less_than_2r_directions_b_takes_the_last(cases, tiny_base):
    cell = cases.attach(tiny_base, part("lora_ga[r=12,form=paper]"))
    name = "model.layers.0.self_attn.k_proj"
    G = cell.setting.signals.gradient(cases.facts, 64).matrices[name]
    _, B, _ = factors_of(cell, name)
    assert up_to_signs(B, 2 / 4 * svd(G)[0][:, 4:16], axis=1) < 1e-4


def test_lora_one_starts_with_a_step_against_the_gradient(cases, tiny_base):
    cell = cases.attach(tiny_base, part("lora_one[r=4,alpha=8]"))
    for name, G in cell.setting.signals.gradient(cases.facts, 64).matrices.items():
        A, B, s = factors_of(cell, name)
        U, S, Vh = svd(G)
        assert s == 8 / 4**0.5
        expected = -(U[:, :4] * S[:4] / S[0]) @ Vh[:4] / 128
        assert torch.allclose(B @ A, expected, atol=1e-7), name
        assert torch.allclose(A.norm(dim=1), B.norm(dim=0), atol=1e-6), "balanced"
    difference = cell.logits() - cases.logits_of(tiny_base.model)
    assert 1e-3 < difference.abs().max() < 1
    adapter = part("lora_one[r=4]")
    large, small = adapter.factors(1e3 * G), adapter.factors(1e-3 * G)
    assert torch.allclose(large.A, small.A, atol=1e-6), "the gradient's size does not matter"


def test_lora_one_begins_with_a_lower_loss(cases, tiny_base):
    cell = cases.attach(tiny_base, part("lora_one[r=8]"))
    batches = rows_of(tiny_base.tokenizer, map(fact_text, cases.facts), 8)

    def loss(model):
        with torch.no_grad():
            return torch.cat([row_losses(model)(batch) for batch in batches]).mean()

    assert loss(cell.model) < loss(tiny_base.model)


def test_keep_lora_stays_out_of_the_weights_largest_directions(cases, tiny_base):
    cell = cases.attach(tiny_base, part("keep_lora[r=4,principal=8,form=arena]"))
    zero = cases.attach(tiny_base, part("keep_lora[r=4,principal=8]"))
    assert torch.equal(zero.logits(), cases.logits_of(tiny_base.model)), "the authors begin at 0"
    cell_at_4r = cases.attach(tiny_base, part("keep_lora[r=4]"))
    gradients = cell.setting.signals.gradient(cases.facts, 64).matrices
    starts = {}
    for name, linear in linear_layers(tiny_base.model):
        V = svd(weight_of(linear))[2][:8].T
        A, B, _ = starts[name] = factors_of(cell, name)
        residual = gradients[name].double() @ (torch.eye(len(V)).double() - V @ V.T)
        U, S, Vh = svd(residual)
        assert torch.allclose(B @ A, (U[:, :4] * S[:4]) @ Vh[:4], atol=1e-6), name
        assert torch.allclose(A @ A.T, torch.eye(4).double(), atol=1e-5), name
        assert torch.equal(factors_of(zero, name)[0], A), name
        assert not factors_of(zero, name)[1].any(), name
        wide = svd(weight_of(linear))[2][:16].T
        assert (factors_of(cell_at_4r, name)[0] @ wide).abs().max() < 1e-5, "k is 4r"
    cell.train()
    for name, linear in linear_layers(tiny_base.model):
        V = svd(weight_of(linear))[2][:8].T
        A, B, _ = factors_of(cell, name)
        assert torch.equal(A, starts[name][0]), "A is frozen"
        assert not torch.equal(B, starts[name][1])
        assert (B @ A @ V).abs().max() < 1e-5, "nor does what was learned reach them"
    trained = [name for name, p in cell.model.named_parameters() if p.requires_grad]
    assert len(trained) == 14
    assert all("lora_B" in name for name in trained)


def test_keep_lora_has_no_more_directions_than_k_leaves(cases, tiny_base):
    cell = cases.attach(tiny_base, part("keep_lora[r=7,principal=28]"))
    for name, linear in linear_layers(tiny_base.model):
        W = weight_of(linear)
        kept = svd(W)[2][:28].T
        A, B, _ = factors_of(cell, name)
        assert len(A) == B.shape[1] == min(7, W.shape[1] - kept.shape[1]), name
        assert torch.allclose(A @ A.T, torch.eye(len(A)).double(), atol=1e-5), name
        assert (A @ kept).abs().max() < 1e-5, name


def test_keep_lora_leaves_half_of_a_narrow_weight_alone(cases, tiny_base):
    cell = cases.attach(tiny_base, part("keep_lora[r=16]"))
    for name, linear in linear_layers(tiny_base.model):
        W = weight_of(linear)
        A, _, _ = factors_of(cell, name)
        kept = svd(W)[2][: W.shape[1] // 2].T
        assert (A @ kept).abs().max() < 1e-5, name


def test_keep_lora_refuses_a_k_that_leaves_nothing(cases, tiny_base):
    with pytest.raises(UsageError, match="principal=32 leaves no direction"):
        cases.attach(tiny_base, part("keep_lora[r=8,principal=32]"))


@pytest.mark.parametrize("written", ["lora_one[r=4]", "keep_lora[r=4,form=arena]"])
def test_a_start_that_is_not_the_base_says_so_and_is_loaded_by_peft(
    written, cases, tiny_base, make_tiny, tmp_path
):
    cell = cases.attach(tiny_base, part(written))
    assert (cell.logits() - cases.logits_of(tiny_base.model)).abs().max() > 1e-4
    with cell.model.disable_adapter():
        assert torch.equal(cell.logits(), cases.logits_of(tiny_base.model))
    cell.train()
    loaded = PeftModel.from_pretrained(make_tiny(), str(cell.save(tmp_path / "adapter")))
    assert loaded.peft_config["default"].r == 4, "not twice the rank: nothing was cut"
    assert (cases.logits_of(loaded) - cell.logits()).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["lora_ga", "lora_one", "keep_lora"])
def test_samples_choose_what_is_measured(name, cases, tiny_base):
    few, all_of_them = (
        cases.attach(tiny_base, part(f"{name}[r=4,samples={n}]")) for n in ("2", "none")
    )
    rows = [
        stored(c.adapter.notes(c.model, c.prepared))["gradient_rows"] for c in (few, all_of_them)
    ]
    assert rows == [2, len(cases.facts)]
    key = "model.layers.1.mlp.down_proj"
    products = [factors_of(one, key)[0].T @ factors_of(one, key)[0] for one in (few, all_of_them)]
    assert not torch.allclose(*products, atol=1e-3)
    with pytest.raises(UsageError, match="samples=0"):
        part(f"{name}[samples=0]").check()


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (120, 90)])
@pytest.mark.parametrize("true_rank", [3, 24])
def test_triplets_are_those_of_a_whole_svd_and_orthonormal_where_values_are_0(shape, true_rank):
    draw = torch.Generator().manual_seed(1)
    left, right = (torch.randn(n, true_rank, generator=draw) for n in shape)
    matrix = left @ right.T
    U, S, V = leading_triplets(matrix, 6)
    exact = svd(matrix)
    assert torch.allclose(S[:3], exact[1][:3])
    assert torch.allclose(V.T @ V, torch.eye(6).double(), atol=1e-8)
    known = min(6, true_rank)
    best = (exact[0][:, :known] * exact[1][:known]) @ exact[2][:known]
    assert torch.allclose((U[:, :known] * S[:known]) @ V[:, :known].T, best, atol=1e-4)
