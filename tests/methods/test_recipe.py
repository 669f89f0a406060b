"""The recipe algebra: what is read is written back, and nonsense is one clear line."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.parts import PLACEMENTS, STRATEGIES, Filter, Placement, Weights
from methods.recipe import parse_recipe, parse_recipes
from tasks.errors import UsageError

ADAPTER_NAMES = ["lora", "rslora", "dora", "pissa", "milora", "olora", "eva", "corda", "full"]
ADAPTER_NAMES += ["astra", "corda_pp", "lora_null", "mica", "oplora", "sc_lora"]
ADAPTER_NAMES += ["lora_ga", "lora_one", "keep_lora", "kasa", "osf"]


@pytest.fixture
def parts(monkeypatch):
    """A placement, a filter and a weighting that exist in these tests alone."""
    for registry in (PLACEMENTS, STRATEGIES):
        registry.names()
        monkeypatch.setattr(registry, "_members", dict(registry._members))

    @PLACEMENTS.register("upper")
    @dataclass(frozen=True)
    class Upper(Placement):
        n: int = 2

        def layers(self, signals, count, seed):
            return tuple(range(count - self.n, count))

    @STRATEGIES.register("half")
    @dataclass(frozen=True)
    class Half(Filter):
        rho: float = 0.5

        def keep(self, signals, seed):
            raise NotImplementedError

    @STRATEGIES.register("even")
    @dataclass(frozen=True)
    class Even(Weights):
        def weights(self, signals, kept, seed):
            raise NotImplementedError


@given(
    name=st.sampled_from(["lora", "dora", "pissa", "milora"]),
    r=st.integers(1, 512),
    alpha=st.none() | st.floats(0.5, 64),
)
def test_a_recipe_survives_writing_and_reading(name, r, alpha):
    written = f"{name}[alpha={'none' if alpha is None else repr(alpha)},r={r}]"
    recipe = parse_recipe(written)
    assert parse_recipe(recipe.full_name) == recipe
    assert parse_recipe(recipe.name) == recipe


@pytest.mark.parametrize("name", ADAPTER_NAMES)
def test_every_adapter_is_written_in_full_and_read_back(name):
    recipe = parse_recipe(name)
    assert recipe.name == name
    assert parse_recipe(recipe.full_name) == recipe


def test_parts_are_sorted_whatever_their_order(parts):
    written = "even+half[rho=0.25]+upper+dora"
    assert parse_recipe(written).name == "dora+upper+half[rho=0.25]+even"


def test_a_recipe_without_an_adapter_means_lora(parts):
    assert parse_recipe("upper") == parse_recipe("lora+upper")


def test_corda_means_kpm_and_lists_protect_commas_in_brackets():
    recipes = parse_recipes(["corda,corda[mode=kpm]", "corda[mode=ipm,r=8],lora"])
    assert [recipe.name for recipe in recipes] == ["corda", "corda[mode=ipm,r=8]", "lora"]


@pytest.mark.parametrize(
    ("written", "pieces"),
    [
        ("lora+dora", ["(adapter)", "lora and dora"]),
        ("lorra", ["unknown method part 'lorra'", "did you mean", "lora"]),
        ("lora[rank=3]", ["no parameter 'rank'"]),
        ("lora[r=many]", ["r must be an integer"]),
        ("lora[alpha=nan]", ["alpha must be a finite number"]),
        ("lora[alpha=-inf]", ["alpha must be a finite number"]),
        ("lora[r=0]", ["at least 1"]),
        ("corda[mode=kpn]", ["mode must be", "kpm, ipm"]),
        ("lora[r=1,r=2]", ["given twice"]),
        ("lora[r=1", ["unbalanced brackets"]),
        ("lora[r]", ["write key=value"]),
        ("", ["no method is given"]),
        ("peft", ["needs path="]),
    ],
)
def test_nonsense_is_one_line_with_what_would_be_right(written, pieces):
    with pytest.raises(UsageError) as caught:
        parse_recipes([written])
    message = str(caught.value)
    assert "\n" not in message
    for piece in pieces:
        assert piece in message
