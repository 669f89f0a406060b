"""Ranks by layer, and CorDA++ which asks for them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from methods.compactness import direction_costs, log_pi, looseness
from methods.notes import stored
from methods.parts import ADAPTERS
from methods.peft_adapter import lora_layers
from methods.rank_allocation import Piece, allocated_ranks
from methods.subspaces import End
from tasks.notation import build_part, parse_part


def part(written):
    name, given_ = parse_part(written)
    return build_part(ADAPTERS[name], name, {"r": "4", **given_})


def piece(d_out, d_in, costs):
    return Piece(torch.zeros(d_out, len(costs)), torch.zeros(len(costs), d_in), costs=tuple(costs))


LAYERS = st.lists(
    st.tuples(
        st.integers(4, 12),
        st.integers(4, 12),
        st.lists(st.floats(-9, 9), min_size=8, max_size=8).map(sorted),
    ),
    min_size=1,
    max_size=6,
)


@given(layers=LAYERS)
def test_ranks_spend_no_more_than_the_same_rank_everywhere_and_leave_no_room(layers):
    pieces = {
        str(n): piece(d_out, d_in, costs[: min(d_out, d_in)])
        for n, (d_out, d_in, costs) in enumerate(layers)
    }
    ranks = allocated_ranks(pieces, 4, 2)
    sizes = {name: len(p.B) + p.A.shape[1] for name, p in pieces.items()}
    left = sum(sizes[name] * (4 - rank) for name, rank in ranks.items())
    assert left >= 0
    assert all(2 <= ranks[name] <= len(p.costs) for name, p in pieces.items())
    growing = {name for name, p in pieces.items() if ranks[name] < len(p.costs)}
    assert all(sizes[name] > left for name in growing), "whatever still fits is taken"
    if len(set(sizes.values())) == 1:
        spent = [c for n, p in pieces.items() for c in p.costs[2 : ranks[n]]]
        waiting = [pieces[name].costs[ranks[name]] for name in growing]
        assert max(spent, default=-math.inf) <= min(waiting, default=math.inf)


def test_compactness_is_the_formula():
    s = torch.tensor([8.0, 4.0, 2.0, 1.0]).double()
    assert log_pi(s, 2) == pytest.approx(math.log(math.sqrt(2 * 8) / 1))
    assert looseness(s, 2, 2) == pytest.approx(math.log(4) * 3 / 8)
    assert direction_costs(s, 2, 3, End.SMALLEST) == pytest.approx(
        [math.log(4) * value / 15 for value in (1, 2, 4)]
    )
    assert direction_costs(s, 2, 2, End.LARGEST) == pytest.approx(
        [-math.log(4) * value / 15 for value in (8, 4)]
    )


@pytest.mark.parametrize("mode", ["kpm", "ipm"])
def test_with_one_covariance_and_one_rank_it_is_corda(mode, cases, tiny_base):
    written = f"corda_pp[mode={mode},candidates=1,rho=1]"
    ours, corda = (cases.attach(tiny_base, part(w)) for w in (written, f"corda[mode={mode}]"))
    for name, factors in corda.prepared.factors.items():
        assert torch.equal(ours.prepared.factors[name].A, factors.A), name
        assert torch.equal(ours.prepared.factors[name].B, factors.B), name


@pytest.mark.parametrize("mode", ["kpm", "ipm"])
def test_every_layer_has_the_directions_of_corda_at_its_own_rank(mode, cases, tiny_base):
    cell = cases.attach(tiny_base, part(f"corda_pp[mode={mode},candidates=1]"))
    ranks = stored(cell.adapter.notes(cell.model, cell.prepared))["allocated_ranks"]
    assert len(set(ranks.values())) > 1
    assert all(2 <= rank <= 8 for rank in ranks.values())
    plain = cases.attach(tiny_base, part(f"corda[mode={mode}]"))
    sizes = [sum(p.numel() for p in one.model.parameters() if p.requires_grad)
             for one in (cell, plain)]  # fmt: skip
    assert 0.97 * sizes[1] < sizes[0] <= sizes[1]
    for name, layer in lora_layers(cell.model):
        assert len(layer.lora_A["default"].weight) == ranks[name]
        assert layer.scaling["default"] == cell.adapter.scale
        alone = cases.attach(tiny_base, part(f"corda[mode={mode},r={ranks[name]}]"), layers=(0,))
        if name in alone.prepared.factors:
            expected = alone.prepared.factors[name]
            found = cell.prepared.factors[name]
            assert torch.allclose(found.B @ found.A, expected.B @ expected.A, atol=1e-4), name


def test_the_most_compact_covariance_is_taken(cases, tiny_base):
    adapter = part("corda_pp[candidates=2,rho=1]")
    W = torch.randn(12, 10, generator=torch.Generator().manual_seed(0))
    even, steep = torch.eye(10).double(), torch.diag(0.5 ** torch.arange(10)).double()
    scores = [looseness(torch.linalg.svdvals(W.double() @ C), 12, 4) for C in (even, steep)]
    best = (even, steep)[scores.index(min(scores))]
    for order in ((even, steep), (steep, even)):
        assert torch.equal(adapter.factors(order, W).B, adapter.factors([best], W).B)
    assert not torch.equal(adapter.factors([even], W).B, adapter.factors([steep], W).B)


def test_sets_of_facts_are_measured_apart(cases, tiny_base):
    cell = cases.attach(tiny_base, part("corda_pp[candidates=3]"))
    sets = cell.adapter.measure(cell.setting)
    assert len(sets) == 3
    name = next(iter(sets[0].matrices))
    assert not torch.equal(sets[0].matrices[name], sets[1].matrices[name])
    few = cases.attach(tiny_base, part("corda_pp[candidates=3]"), calibration=cases.facts[:2])
    assert len(few.adapter.measure(few.setting)) == 2
