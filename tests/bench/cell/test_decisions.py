"""What parts return is checked against their contract, with one line that names the part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch

from bench.cell.decisions import decide
from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES, Filter, Placement, Weights
from methods.recipe import parse_recipe
from tasks.errors import UsageError
from tasks.fact import Fact

SIGNALS = SimpleNamespace(
    facts=tuple(Fact(i, "Who?", ("Ann",)) for i in "abcd"), now=lambda model, kept: SIGNALS
)
HALF = torch.tensor([True, True, False, False])


@pytest.fixture(autouse=True)
def returned(monkeypatch):
    """What the parts of the tests return, by their names."""
    for registry in (ADAPTERS, PLACEMENTS, STRATEGIES):
        registry.names()
        monkeypatch.setattr(registry, "_members", dict(registry._members))
    values = {"chosen": torch.ones(4, dtype=torch.bool)}

    @STRATEGIES.register("chosen")
    @dataclass(frozen=True)
    class Chosen(Filter):
        def keep(self, signals, seed):
            return values["chosen"]

    @STRATEGIES.register("heavy")
    @dataclass(frozen=True)
    class Heavy(Weights):
        def weights(self, signals, kept, seed):
            return values["heavy"]

        def refreshed(self, epoch):
            return epoch == 2

    @PLACEMENTS.register("where")
    @dataclass(frozen=True)
    class Where(Placement):
        def layers(self, signals, count, seed):
            return values["where"]

    return values


def decided(part):
    return decide(parse_recipe(f"lora+{part}"), SIGNALS, 3, 0)


@pytest.mark.parametrize(
    ("part", "value", "why"),
    [
        ("chosen", torch.ones(4), "bool tensor"),
        ("chosen", [True] * 4, "bool tensor"),
        ("chosen", torch.ones(3, dtype=torch.bool), "bool tensor"),
        ("chosen", torch.zeros(4, dtype=torch.bool), "at least one"),
        ("heavy", torch.ones(4, dtype=torch.long), "float tensor"),
        ("heavy", torch.ones(4, 1), "float tensor"),
        ("heavy", torch.tensor([1.0, 1.0, 1.0, float("nan")]), "finite"),
        ("heavy", torch.tensor([3.0, 1.0, 1.0, -1.0]), "negative"),
        ("heavy", torch.full((4,), 1.001), "mean 1"),
        ("where", (), "at least one"),
        ("where", (0, 0), "distinct"),
        ("where", (-1,), "from 0 to 2"),
        ("where", (3,), "from 0 to 2"),
        ("where", None, "None"),
        ("where", (1.0,), "integers"),
    ],
)
def test_a_part_that_breaks_its_contract_is_one_line_that_names_it(returned, part, value, why):
    returned[part] = value
    with pytest.raises(UsageError) as error:
        decided(part)
    for said in (f"'{part}'", why):
        assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_of_the_task_and_of_a_strategy_are_multiplied_and_have_mean_one(
    returned, monkeypatch
):
    given = [3.0, 1.0, 1.0, 2.0]
    facts = [replace(f, weight=w) for f, w in zip(SIGNALS.facts, given, strict=True)]
    monkeypatch.setattr(SIGNALS, "facts", tuple(facts))
    returned |= {"chosen": HALF, "heavy": torch.tensor([0.5, 1.5, 0.0, 0.0])}
    assert decided("chosen").weights.tolist() == [1.5, 0.5, 0.0, 0.0]
    found = decided("chosen+heavy")
    assert found.weights.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert found.reweigh(torch.nn.Identity(), 2).tolist() == [1.0, 1.0]


def test_what_keeps_to_the_contract_is_taken_and_weights_have_mean_one_over_the_kept(returned):
    returned |= {"chosen": HALF, "heavy": HALF * torch.tensor(1.0), "where": (2, 0)}
    found = decided("chosen+heavy+where")
    assert (found.chosen, found.layers) == ([0, 1], (2, 0))
    returned["heavy"] = torch.ones(4) * 2
    with pytest.raises(UsageError, match="'heavy'"):
        found.reweigh(torch.nn.Identity(), 2)
    assert found.reweigh(torch.nn.Identity(), 1) is None
