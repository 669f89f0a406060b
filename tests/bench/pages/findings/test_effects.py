"""How effects are computed from tables of seeds and facts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.pages.findings.claim import Claim
from bench.pages.findings.effects import (
    correlated,
    group_difference,
    mean_of,
    over_seeds,
    paired,
)
from bench.pages.findings.verdict import Unit
from bench.report.statistics.correlation import correlation
from bench.report.statistics.intervals import IntervalKind


def test_seeds_with_facts_of_their_own_have_the_interval_and_tests_of_student():
    rng = np.random.default_rng(0)
    values = [rng.normal(0.3, 0.8, 30 + seed) for seed in range(12)]
    means = [seed.mean() for seed in values]
    expected = stats.ttest_1samp(means, 0)
    effect = over_seeds("filter", "here", values, Unit.EPOCHS)
    interval = effect.estimate.interval
    ends = expected.confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((ends.low, ends.high), abs=1e-9)
    assert interval.kind is IntervalKind.SEEDS
    [rival] = Claim("filter", "epochs to learn", (effect,), 0.35).rivals
    assert rival.p == pytest.approx(expected.pvalue, abs=1e-9)
    below = stats.ttest_1samp(means, 0.35, alternative="less").pvalue
    assert rival.p_margin == pytest.approx(below, abs=1e-9)


def test_one_seed_with_facts_of_its_own_has_no_interval():
    effect = over_seeds("filter", "here", [np.array([1.0, 2.0, 3.0])], Unit.EPOCHS)
    assert (effect.value, effect.estimate.interval, effect.spread) == (2.0, None, None)


def test_a_correlation_has_the_interval_and_tests_of_fisher():
    rng = np.random.default_rng(0)
    x = rng.normal(size=8)
    y = x + rng.normal(size=8)
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    effect = correlated("CSD and drift", "here", correlation(x, y), seeds=5)
    written = [math.tanh(e) for e in (effect.estimate.interval.low, effect.estimate.interval.high)]
    assert written == pytest.approx([expected.low, expected.high], abs=1e-9)
    [rival] = Claim("CSD", "correlation", (effect,), 0.7).rivals
    z = np.arctanh(np.corrcoef(x, y)[0, 1]) * math.sqrt(8 - 3)
    assert rival.p == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-9)
    assert rival.p_margin == pytest.approx(stats.norm.cdf(z - 0.7 * math.sqrt(5)), abs=1e-9)


def test_groups_differ_by_their_means_and_vary_by_both():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 50))
    first, second = np.arange(50) < 12, np.arange(50) >= 30
    table = group_difference(values, first, second)
    assert table.shape == (3, 32)
    one, other = values[:, first], values[:, second]
    np.testing.assert_allclose(table.mean(axis=1), one.mean(axis=1) - other.mean(axis=1))
    of_mean = table[0].var() / 32
    assert of_mean == pytest.approx(one[0].var() / 12 + other[0].var() / 20)


def test_group_differences_hold_their_coverage():
    rng = np.random.default_rng(1)
    first = np.arange(64) < 13
    covered = 0
    for _ in range(300):
        chance = rng.beta(3, 1, 64) + rng.normal(0, 0.05, (3, 1))
        right = (rng.random((3, 64)) < chance).astype(float)
        found = mean_of("", "", group_difference(right, first, ~first))
        covered += found.estimate.interval.low <= 0 <= found.estimate.interval.high
    assert covered / 300 >= 0.93


def test_equal_answers_have_a_width():
    same = np.ones((3, 30))
    assert paired("", "", same, same).estimate.interval.high > 0.05
    none = mean_of("", "", np.zeros((3, 30)), Unit.PERCENT)
    assert none.estimate.interval.high > 0.05


def test_an_effect_holds_what_pooling_needs():
    rng = np.random.default_rng(3)
    one, other = ((rng.random((5, 40)) < chance).astype(float) for chance in (0.9, 0.6))
    found = paired("", "", one, other)
    assert found.top_share == one.mean()
    assert found.spread.mean == pytest.approx(found.value)
    half = (found.estimate.interval.high - found.estimate.interval.low) / 2
    assert found.spread.half_width() == pytest.approx(half)
    same = paired("", "", one, one)
    interval = same.estimate.interval
    assert same.spread.half_width() == pytest.approx((interval.high - interval.low) / 2, rel=0.1)
    assert paired("", "", one[:1], other[:1]).spread is None, "one seed has no mean squares"
    nats = paired("", "", one * 7, other * 7)
    assert nats.top_share == 0, "only shares can be near one"
