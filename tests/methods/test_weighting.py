"""Weights: mean 1 after clipping, whatever the distances, shape, temperature and sign."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from methods.parts import STRATEGIES
from methods.recipe import parse_recipe
from methods.weighting import HIGHEST, LOWEST, clipped_to_mean_one
from tasks.errors import UsageError

LOGS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80)
DISTANCES = st.lists(st.floats(0, 2), min_size=1, max_size=80)


@given(LOGS)
@example([0.0])
@example([0.0] * 7)
@example([0.0, 1e6])
@example([-1e6, *[0.0] * 79])
@example([4.0, *[0.0] * 6, 0.5, 4.0, *[0.0] * 3])
@example([4.0, *[0.0] * 7, 4.0, 0.0, 0.0, -1.0])
def test_clipped_weights_have_mean_1_and_keep_the_order(logs):
    logs = torch.tensor(logs, dtype=torch.float64)
    weights = clipped_to_mean_one(logs)
    assert abs(float(weights.mean()) - 1) < 1e-9
    assert float(weights.min()) >= LOWEST
    assert float(weights.max()) <= HIGHEST
    ordered = weights[logs.argsort()]
    assert bool((ordered.diff() >= -1e-12).all())


@given(
    distances=DISTANCES,
    shape=st.sampled_from(["softmax", "linear"]),
    tau=st.floats(1e-6, 1e9),
    beta=st.floats(0, 1e6),
    sign=st.sampled_from([1, -1]),
)
def test_reweight_has_mean_1_over_the_kept_facts(distances, shape, tau, beta, sign):
    distances = torch.tensor(distances, dtype=torch.float64)
    kept = torch.arange(len(distances)) % 3 != 1
    part = STRATEGIES["reweight"](shape=shape, tau=tau, beta=beta, sign=sign)
    part.check()
    weights = part.weights(signals_of(distances), kept, 0)
    assert abs(float(weights[kept].mean()) - 1) < 1e-9
    assert bool((weights[~kept] == 0).all())


def signals_of(distances):
    return SimpleNamespace(
        facts=tuple(range(len(distances))), distance_in=lambda encoder: distances
    )


def weights(distances, **parameters):
    distances = torch.tensor(distances, dtype=torch.float64)
    kept = torch.ones(len(distances), dtype=torch.bool)
    return STRATEGIES["reweight"](**parameters).weights(signals_of(distances), kept, 0)


def test_unclipped_weights_are_the_formula():
    softmax = torch.tensor([0.2, 0.4, 0.9], dtype=torch.float64).div(0.5).exp()
    found = weights([0.2, 0.4, 0.9])
    assert torch.allclose(found, softmax / softmax.mean(), atol=1e-12)
    linear = torch.tensor([1.4, 1.8, 2.8], dtype=torch.float64)
    found = weights([0.2, 0.4, 0.9], shape="linear", beta=2.0)
    assert torch.allclose(found, linear / linear.mean(), atol=1e-12)


def test_the_sign_turns_the_order_and_a_huge_temperature_levels_it():
    near = weights([0.1, 0.6, 1.1], sign=-1)
    assert bool((near.diff() < 0).all())
    assert torch.allclose(weights([0.1, 0.6, 1.1], tau=1e12), torch.ones(3).double(), atol=1e-9)
    flat = weights([0.1, 0.6, 1.1], shape="linear", beta=0.0)
    assert torch.equal(flat, torch.ones(3).double())


def test_it_is_weighed_anew_every_refresh_epochs():
    part = STRATEGIES["reweight"](refresh=3)
    assert [epoch for epoch in range(1, 12) if part.refreshed(epoch)] == [4, 7, 10]
    assert not any(STRATEGIES["reweight"]().refreshed(epoch) for epoch in range(1, 12))


@pytest.mark.parametrize(
    ("written", "piece"),
    [
        ("reweight[tau=0]", "tau=0: the temperature"),
        ("reweight[beta=-1]", "beta=-1: the slope"),
        ("reweight[refresh=0]", "refresh=0"),
        ("reweight[sign=2]", "sign must be one of 1, -1"),
        ("reweight[encoder=word2vec]", "encoder=word2vec: it must be"),
    ],
)
def test_reweight_refuses_what_cannot_work(written, piece):
    with pytest.raises(UsageError) as caught:
        parse_recipe(written)
    assert piece in str(caught.value)
