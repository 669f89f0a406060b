"""The filter is the best of all subsets of its size; its controls have that size too."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from methods.fact_filter import best_block, kept_count, removal_notes, standardised
from methods.notes import stored
from methods.parts import STRATEGIES
from methods.recipe import parse_recipe
from tasks.errors import UsageError


def objective(values, lam):
    """J = mean(z) - lam var(z), as it is written."""
    return float(values.mean() - lam * values.var(correction=0))


def random_set(seed):
    """Up to 12 distances, one in three sets with ties, a size to keep and a lam."""
    generator = torch.Generator().manual_seed(seed)
    n = int(torch.randint(1, 13, (1,), generator=generator))
    values = 2 * torch.rand(n, generator=generator, dtype=torch.float64)
    if seed % 3 == 0:
        values = (2 * values).round() / 2
    keep = int(torch.randint(1, n + 1, (1,), generator=generator))
    lam = [0.0, 0.3, 1.0, 4.0][seed % 4]
    return values, keep, lam


@pytest.mark.parametrize("scale", ["std", "raw"])
def test_the_block_equals_brute_force_on_300_random_sets(scale):
    for seed in range(300):
        values, keep, lam = random_set(seed)
        z = standardised(values, scale)
        kept = best_block(z, keep, lam)
        assert int(kept.sum()) == keep
        subsets = combinations(range(len(z)), keep)
        best = min(objective(z[list(subset)], lam) for subset in subsets)
        assert objective(z[kept], lam) == pytest.approx(best, abs=1e-9), seed


@given(
    n=st.integers(1, 60),
    rho=st.floats(0, 0.99),
    name=st.sampled_from(["filter", "random_filter", "drop"]),
    seed=st.integers(0, 5),
)
def test_filters_of_one_rho_keep_as_many(n, rho, name, seed):
    signals = signals_of(torch.linspace(0, 2, n, dtype=torch.float64).sin())
    kept = STRATEGIES[name](rho=rho).keep(signals, seed)
    assert (kept.dtype, len(kept)) == (torch.bool, n)
    assert int(kept.sum()) == kept_count(n, rho) == max(1, round((1 - rho) * n))


def signals_of(distances):
    return SimpleNamespace(
        facts=tuple(range(len(distances))), distance_in=lambda encoder: distances
    )


def test_drop_takes_one_side_and_the_overlap_says_which():
    distances = torch.tensor([0.9, 0.1, 0.5, 0.1, 1.2], dtype=torch.float64)
    far = STRATEGIES["drop"](side="far", rho=0.4).keep(signals_of(distances), 0)
    near = STRATEGIES["drop"](side="near", rho=0.4).keep(signals_of(distances), 0)
    assert far.tolist() == [False, True, True, True, False]
    assert near.tolist() == [True, False, True, False, True]
    assert stored([removal_notes(distances, far)]) == {
        "removed_interval": [0.9, 1.2],
        "overlap_far": 1.0,
        "overlap_near": 0.0,
    }
    assert removal_notes(distances, torch.ones(5, dtype=torch.bool)).overlap_far is None


def test_equal_distances_lose_the_first_facts_and_raw_lam_1_keeps_the_nearest():
    kept = STRATEGIES["filter"](rho=0.5).keep(signals_of(torch.ones(4, dtype=torch.float64)), 0)
    assert kept.tolist() == [False, False, True, True]
    spread = torch.tensor([0.5, 0.1, 0.9, 0.2, 0.3], dtype=torch.float64)
    raw = STRATEGIES["filter"](rho=0.2, scale="raw").keep(signals_of(spread), 0)
    assert raw.tolist() == [True, True, False, True, True], "the farthest fact is dropped"


def test_random_filters_differ_by_seed_only():
    signals = signals_of(torch.zeros(50, dtype=torch.float64))
    first, again, other = (STRATEGIES["random_filter"]().keep(signals, s) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("written", "piece"),
    [
        ("filter[rho=1]", "rho=1: the share"),
        ("drop[rho=-0.1]", "rho=-0.1: the share"),
        ("random_filter[rho=nan]", "rho must be a finite number"),
        ("filter[lam=-1]", "lam=-1: the weight of the variance"),
        ("filter[encoder=layer]", "encoder=layer: it must be"),
        ("drop[side=middle]", "side must be one of far, near"),
    ],
)
def test_filters_refuse_what_cannot_work(written, piece):
    with pytest.raises(UsageError) as caught:
        parse_recipe(f"lora+{written}")
    assert piece in str(caught.value)
