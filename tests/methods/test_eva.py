"""EVA against PEFT's own, and the principal components of what its layers see, by plain SVD."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model, initialize_lora_eva_weights
from peft.tuners.lora import EvaConfig

from methods.adapters import eva
from methods.explained_variance import explained_ranks
from methods.notes import stored
from methods.targets import Modules, linear_layers
from tasks.errors import UsageError
from tasks.prompt import fact_text


def inputs_of_layers(base, facts):
    """Concatenate each layer's inputs `[tokens, d_in]` over facts, each run alone."""
    seen = {name: [] for name, _ in linear_layers(base.model)}
    handles = [
        module.register_forward_pre_hook(lambda _, args, name=name: seen[name].append(args[0][0]))
        for name, module in linear_layers(base.model)
    ]
    with torch.no_grad():
        for fact in facts:
            base.model(**base.tokenizer(fact_text(fact), return_tensors="pt"))
    for handle in handles:
        handle.remove()
    return {name: torch.cat(rows).double() for name, rows in seen.items()}


def layers_of(model):
    """The adapted layers by their names in the base."""
    named = model.base_model.model.named_modules()
    return {name: layer for name, layer in named if "default" in getattr(layer, "lora_A", ())}


def texts(base, facts):
    """All facts as one batch, padded on the right."""
    base.tokenizer.padding_side = "right"
    return dict(base.tokenizer([fact_text(f) for f in facts], return_tensors="pt", padding=True))


@pytest.mark.parametrize("rho", [1.0, 2.0])
def test_it_starts_as_pefts_own_on_the_same_data(rho, cases, tiny_base, make_tiny):
    """In one batch, and where PEFT's random SVD takes all directions: there it is exact."""
    r = int(16 / rho)
    cell = cases.attach(tiny_base, eva.Eva(r=r, rho=rho, modules=Modules.ATTN))
    names = list(layers_of(cell.model))
    config = LoraConfig(
        r=r,
        lora_alpha=r,
        target_modules=names,
        init_lora_weights="eva",
        eva_config=EvaConfig(rho=rho),
    )
    theirs = get_peft_model(make_tiny(), config)
    batch = texts(tiny_base, cases.facts)
    initialize_lora_eva_weights(theirs, [batch], show_progress_bar=False)
    mine, own = layers_of(cell.model), layers_of(theirs)
    assert set(mine) == set(own) == set(names)
    for name in names:
        A, expected = (
            layers[name].lora_A["default"].weight.detach().double() for layers in (mine, own)
        )
        shared = min(len(A), len(expected), 8)  # later ones lie too close for PEFT's float32
        signs = (A[:shared] * expected[:shared]).sum(1, keepdim=True).sign()
        assert (A[:shared] - signs * expected[:shared]).abs().max() < 1e-4, name
        assert mine[name].scaling["default"] == own[name].scaling["default"] == 1
    for inputs in (("q_proj", "k_proj", "v_proj"), ("o_proj",)):
        for layer in (0, 1):  # among layers with the same input PEFT lets chance decide
            group = [f"model.layers.{layer}.self_attn.{name}" for name in inputs]
            assert abs(ranks_of(mine, group) - ranks_of(own, group)) == 0
    assert ranks_of(mine, names) == ranks_of(own, names) == r * len(names)


def ranks_of(layers, names):
    return sum(layers[name].r["default"] for name in names)


def test_it_starts_from_the_principal_components(cases, tiny_base):
    cell = cases.attach(tiny_base, eva.Eva(r=4, rho=1))
    for name, X in inputs_of_layers(tiny_base, cases.facts).items():
        layer = layers_of(cell.model)[name]
        A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        _, S, Vh = torch.linalg.svd(X - X.mean(0), full_matrices=False)
        assert (S[:4] / S[1:5]).min() > 1.001, "the vectors are determined"
        overlap = (A.double() @ Vh[:4].T).abs()
        assert torch.allclose(overlap, torch.eye(4).double(), atol=1e-3), name
        assert not B.any()


def test_directions_that_explain_more_get_the_ranks(cases, tiny_base):
    cell = cases.attach(tiny_base, eva.Eva(r=4))
    shares, ranks = {}, {}
    for name, X in inputs_of_layers(tiny_base, cases.facts).items():
        values = torch.linalg.svdvals(X - X.mean(0)).square()
        shares[name] = (values / values.sum())[:8]
        layer = layers_of(cell.model).get(name)
        ranks[name] = 0 if layer is None else layer.r["default"]
    assert sum(ranks.values()) == 4 * 14, "as many as with the same rank everywhere"
    assert max(ranks.values()) <= 8
    taken = [share for name, rank in ranks.items() for share in shares[name][:rank].tolist()]
    left = [share for name, rank in ranks.items() for share in shares[name][rank:].tolist()]
    assert min(taken) >= max(left) * (1 - 1e-5)
    assert len(set(ranks.values())) > 1
    scales = {layer.scaling["default"] for layer in layers_of(cell.model).values()}
    assert scales == {1.0}
    notes = stored(cell.adapter.notes(cell.model, cell.prepared))
    assert notes["rank_range"] == f"{min(ranks.values())} to {max(ranks.values())}"


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=6, max_size=6), min_size=1, max_size=5),
    st.integers(1, 3),
)
def test_ranks_are_the_best_directions_within_their_number(shares, rank):
    named = {str(n): sorted(row, reverse=True) for n, row in enumerate(shares)}
    most = dict.fromkeys(named, 2 * rank)
    ranks = explained_ranks(named, dict.fromkeys(named, rank), most)
    assert sum(ranks.values()) == rank * len(named)
    taken = [share for n, own in ranks.items() for share in named[n][:own]]
    left = [share for n, own in ranks.items() for share in named[n][own : most[n]]]
    assert min(taken) >= max(left, default=0)
    assert explained_ranks(named, most, most) == most, "where all may have them"


def test_a_layer_without_a_rank_is_not_adapted():
    ranks = explained_ranks({"a": [0.5, 0.4], "b": [0.1, 0.1]}, {"a": 1, "b": 1}, {"a": 2, "b": 2})
    assert ranks == {"a": 2, "b": 0}


def test_chosen_layers_alone_get_a_start(cases, tiny_base):
    cell = cases.attach(tiny_base, eva.Eva(r=1, rho=1), layers=(0,))
    assert set(cell.prepared.factors) == {
        name for name, _ in linear_layers(tiny_base.model) if ".layers.0." in name
    }


def test_it_is_one_file_of_at_most_40_lines():
    lines = Path(eva.__file__).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 40


@pytest.mark.parametrize("r", [1, 16])
def test_its_rows_are_orthonormal(cases, tiny_base, r):
    cell = cases.attach(tiny_base, eva.Eva(r=r))
    for factors in cell.prepared.factors.values():
        own = torch.eye(len(factors.A))
        assert torch.allclose(factors.A @ factors.A.T, own, atol=1e-5)


def test_a_rho_below_1_is_refused():
    with pytest.raises(UsageError, match=r"rho=0\.5: it must be at least 1"):
        eva.Eva(rho=0.5).check()
