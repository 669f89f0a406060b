"""Simulation: intervals hold their 95 %, and a method that is no different rarely looks so.

Facts differ in how easily they are learned, seeds move all facts of a method, and facts may suit
one method more than another. What is estimated are means over all facts and seeds.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bench.report.statistics.comparison import LEVEL, p_value
from bench.report.statistics.intervals import UNBOUNDED, Crossed, estimate

GRID = list(product((3, 5), (64, 200), (0.0, 0.02, 0.05), (0.0, 0.1)))
DRAWS = 4000
EASY, HARD = 0.8, 0.3


def draw(rng, draws, seeds, facts, seed_sd, interaction):
    """Right-or-wrong answers of two methods that do not differ in the mean."""
    easy = rng.uniform(HARD, EASY, (draws, 1, 1, facts))
    shift = seed_sd * rng.standard_normal((draws, 2, seeds, 1))
    suits = interaction * rng.standard_normal((draws, 2, 1, facts))
    right = rng.random((draws, 2, seeds, facts)) < easy + shift + suits
    return right.astype(float)


def truth(rng, seed_sd, interaction):
    many = rng.uniform(HARD, EASY, 1_000_000)
    noise = np.hypot(seed_sd, interaction) * rng.standard_normal(1_000_000)
    return np.clip(many + noise, 0, 1).mean()


def covers(values, expected):
    found = Crossed.of(values)
    return float(np.mean(np.abs(found.mean - expected) <= found.half_width()))


@pytest.mark.parametrize(("seeds", "facts", "seed_sd", "interaction"), GRID)
def test_intervals_of_a_method_and_of_a_paired_difference_cover(seeds, facts, seed_sd, interaction):
    rng = np.random.default_rng([seeds, facts, round(100 * seed_sd), round(10 * interaction)])
    answers = draw(rng, DRAWS, seeds, facts, seed_sd, interaction)
    single = covers(answers[:, 0], truth(rng, seed_sd, interaction))
    paired = covers(answers[:, 0] - answers[:, 1], 0.0)
    assert 0.92 <= single <= 0.98
    assert 0.92 <= paired <= 0.98
    assert 1 - paired <= 0.07, "a null comparison is significant just where its interval lacks 0"


def test_the_report_uses_the_simulated_interval_and_its_p_agrees():
    rng = np.random.default_rng(5)
    for _ in range(200):
        one, two = draw(rng, 1, 3, 64, 0.05, 0.1)[0]
        crossed, gap = Crossed.of(one), Crossed.of(one - two)
        means = one.mean(axis=1)
        if crossed.over_seeds == 0 or gap.over_seeds == 0:
            continue
        interval = estimate(list(means), list(one), UNBOUNDED).interval
        assert interval.high - interval.low == pytest.approx(2 * crossed.half_width(), abs=1e-9)
        outside = abs(gap.mean) > gap.half_width()
        assert (p_value(one - two) < LEVEL) == outside
    for miss in (0.5, 0.05, 1e-6):
        moved = one - two + (gap.half_width(miss) - gap.mean)
        assert p_value(moved) == pytest.approx(miss, rel=1e-6)


@pytest.mark.parametrize("facts", [64, 200])
def test_one_seed_calls_few_null_comparisons_significant(facts):
    answers = draw(np.random.default_rng(facts), 400, 1, facts, 0.0, 0.1)
    ps = [p_value(one - two) for one, two in answers]
    assert np.mean([p < LEVEL for p in ps]) <= 0.07


@pytest.mark.parametrize("facts", [64, 200])
def test_two_seeds_call_few_null_comparisons_significant(facts):
    answers = draw(np.random.default_rng(facts), 1000, 2, facts, 0.02, 0.1)
    ps = [p_value(one - two) for one, two in answers]
    assert np.mean([p < LEVEL for p in ps]) <= 0.07
