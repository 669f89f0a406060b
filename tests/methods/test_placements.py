"""Which layers each placement trains, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from methods.layer_deviation import LayerDeviations
from methods.parts import PLACEMENTS
from methods.recipe import parse_recipe
from tasks.errors import UsageError


def signals_of(*values):
    deviations = LayerDeviations(torch.tensor([values], dtype=torch.float64), head_bias=False)
    return SimpleNamespace(layer_deviation=lambda norm: deviations)


CURVE = signals_of(1.0, 0.9, 0.5, 0.45, 0.4, 0.2)


def layers(name, count=5, seed=0, **parameters):
    return PLACEMENTS[name](**parameters).layers(CURVE, count, seed)


def test_layers_are_counted_from_1_and_inclusive():
    assert layers("window", first=2, last=4) == (1, 2, 3)
    assert layers("first", n=2) == (0, 1)
    assert layers("last", n=2) == (3, 4)
    assert layers("last", n=5) == layers("first", n=5) == (0, 1, 2, 3, 4)


def test_freeze_trains_what_lies_above_the_cut():
    assert layers("freeze") == (2, 3, 4)
    assert layers("freeze", gain="power") == layers("freeze", gain="ratio") == (2, 3, 4)


@given(
    values=st.lists(st.floats(0, 2), min_size=3, max_size=30),
    budget=st.integers(1, 40),
    gain=st.sampled_from(["drop", "ratio", "power"]),
)
def test_a_budget_trains_at_most_so_many_and_the_last(values, budget, gain):
    count = len(values) - 1
    found = PLACEMENTS["freeze"](gain=gain, budget=budget).layers(signals_of(*values), count, 0)
    free = PLACEMENTS["freeze"](gain=gain).layers(signals_of(*values), count, 0)
    assert found == free[-budget:]
    assert 1 <= len(found) <= budget
    assert found[-1] == count - 1
    assert free[0] >= 1, "at least one layer is frozen"


def test_a_random_cut_reaches_every_cut_by_seed():
    found = {layers("random_cut", seed=seed) for seed in range(200)}
    assert {cut[0] for cut in found} == {1, 2, 3, 4}
    assert all(cut == tuple(range(cut[0], 5)) for cut in found)
    assert layers("random_cut", seed=3) == layers("random_cut", seed=3)
    assert all(len(layers("random_cut", seed=s, budget=2)) <= 2 for s in range(50))
    with pytest.raises(UsageError, match="at least 2 decoder layers"):
        layers("random_cut", count=1)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("first", {"n": 6}, "layers 1 to 6: the model has 5"),
        ("last", {"n": 7}, "7 layers: the model has 5"),
        ("window", {"first": 4, "last": 9}, "layers 4 to 9: the model has 5"),
    ],
)
def test_layers_beyond_the_model_are_one_line(name, parameters, message):
    with pytest.raises(UsageError, match=message):
        layers(name, **parameters)


@pytest.mark.parametrize(
    ("written", "piece"),
    [
        ("freeze[budget=0]", "budget=0: it must be at least 1"),
        ("random_cut[budget=-2]", "budget=-2: it must be at least 1"),
        ("first[n=0]", "n=0"),
        ("last[n=0]", "n=0"),
        ("last", "needs n="),
        ("window[first=0,last=3]", "first=0"),
        ("window[first=3,last=2]", "last=2: it must be at least first=3"),
        ("freeze[gain=slope]", "gain must be one of drop, ratio, power"),
        ("freeze+last[n=2]", "two parts of the same kind"),
    ],
)
def test_placements_refuse_what_cannot_work(written, piece):
    with pytest.raises(UsageError) as caught:
        parse_recipe(written)
    assert piece in str(caught.value)
