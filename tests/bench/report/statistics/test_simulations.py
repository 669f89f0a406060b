"""Simulations in seconds: intervals hold their 95%, and what does not differ rarely looks so.

The whole grid is in `test_simulations_whole.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from bench.report.statistics.intervals import Crossed
from tests.bench.report.statistics.simulated import (
    answers,
    epochs,
    equal_learning_coverage,
    false_differences,
    false_ranks,
    score_coverage,
    wilson_coverage,
)


@pytest.mark.parametrize("seeds", [3, 8])
@pytest.mark.parametrize("facts", [64, 256])
@pytest.mark.parametrize("true", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("seed_sd", [0.0, 0.7])
def test_score_ends_of_a_share_hold_the_truth(seeds, facts, true, seed_sd):
    rng = np.random.default_rng([seeds, facts, round(100 * true), round(10 * seed_sd)])
    found = score_coverage(rng, 1500, seeds, facts, true, seed_sd, fact_sd=0.0)
    assert 0.92 <= found <= 0.995


def test_symmetric_ends_do_not_hold_the_truth_near_one():
    values = answers(np.random.default_rng(1), 2000, 1, 8, 256, true=0.97, seed_sd=0.7)[:, 0]
    found = Crossed.of(values)
    assert np.mean(np.abs(found.mean - 0.97) <= found.half_width()) < 0.92


@pytest.mark.parametrize("facts", [64, 128, 256, 512])
def test_wilsons_interval_of_one_seed_holds_the_truth(facts):
    for true in (0.3, 0.5, 0.7, 0.9, 0.97, 0.99):
        assert 0.94 <= wilson_coverage(facts, true) <= 0.975


@pytest.mark.parametrize(("seeds", "facts", "seed_sd"), [(3, 64, 0.0), (3, 64, 0.7), (8, 128, 0.7)])
def test_methods_that_do_not_differ_are_rarely_told_apart(seeds, facts, seed_sd):
    rng = np.random.default_rng([seeds, facts, round(10 * seed_sd)])
    options = {"true": 0.6, "seed_sd": seed_sd, "fact_sd": 1.0, "own_sd": 0.3}
    assert false_differences(rng, 3000, seeds, facts, answers, **options) <= 0.058
    assert false_differences(rng, 3000, seeds, facts, epochs, seed_sd=seed_sd / 3) <= 0.058


@pytest.mark.parametrize("seed_sd", [0.0, 0.7])
def test_ranks_of_five_equal_methods_rarely_exclude_the_first_or_the_last(seed_sd):
    rng = np.random.default_rng([5, round(10 * seed_sd)])
    options = {"true": 0.6, "seed_sd": seed_sd, "fact_sd": 1.0}
    assert max(false_ranks(rng, 400, 5, 3, 64, answers, **options)) <= 0.05


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_the_ratio_of_drift_at_equal_learning_holds_the_truth(share):
    rng = np.random.default_rng([7, round(10 * share)])
    assert 0.93 <= equal_learning_coverage(rng, 500, 3, 64, share, seed_sd=0.1) <= 0.985
