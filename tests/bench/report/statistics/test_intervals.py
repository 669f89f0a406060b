"""Intervals: the numbers by hand, and what kind is given for how many seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.report.statistics import intervals as statistics
from bench.report.statistics.intervals import (
    DIFFERENCE,
    NON_NEGATIVE,
    SHARE,
    UNBOUNDED,
    Crossed,
    IntervalKind,
    bootstrap_over_facts,
    estimate,
    t_interval,
    wilson,
)

RIGHT_OR_WRONG = np.array([1.0] * 48 + [0.0] * 16)


def test_t_interval_is_students_by_hand():
    means = [0.80, 0.85, 0.96]
    half = stats.t.ppf(0.975, 2) * np.std(means, ddof=1) / math.sqrt(3)
    found = t_interval(means)
    assert found.low == pytest.approx(0.87 - half, abs=1e-12)
    assert found.high == pytest.approx(0.87 + half, abs=1e-12)
    assert stats.t.ppf(0.975, 2) == pytest.approx(4.302652729911275)


def test_wilson_is_scipys():
    expected = stats.binomtest(9, 13).proportion_ci(0.95, method="wilson")
    assert (wilson(9, 13).low, wilson(9, 13).high) == pytest.approx((expected.low, expected.high))


def test_bootstrap_is_deterministic_and_near_the_normal_interval():
    one, two = bootstrap_over_facts(RIGHT_OR_WRONG), bootstrap_over_facts(RIGHT_OR_WRONG)
    half = 1.96 * math.sqrt(0.75 * 0.25 / 64)
    assert one == two
    assert (one.low, one.high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.02)


def test_bootstrap_of_distinct_values_agrees_with_plain_resampling():
    values = np.random.default_rng(3).gamma(2.0, size=40)
    drawn = np.random.default_rng(4).choice(values, (20_000, 40)).mean(axis=1)
    found = bootstrap_over_facts(values)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)


def test_the_number_of_seeds_decides_the_kind():
    one = estimate([0.75], [RIGHT_OR_WRONG], SHARE)
    two = estimate([0.75, 0.5], [RIGHT_OR_WRONG, np.roll(RIGHT_OR_WRONG, 3) * 2 / 3], SHARE)
    shifted = [np.roll(RIGHT_OR_WRONG, 8 * k) * (1 - k / 10) for k in range(3)]
    three = estimate([values.mean() for values in shifted], shifted, SHARE)
    kinds = [entry.interval.kind for entry in (one, two, three)]
    assert kinds == [IntervalKind.FACTS, IntervalKind.TWO_SEEDS, IntervalKind.SEEDS_AND_FACTS]


def test_three_seeds_take_howes_sum_of_mean_squares_by_hand():
    values = np.array([[1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    by_seed, by_fact = values.mean(axis=1), values.mean(axis=0)
    over_seeds, over_facts = 4 * by_seed.var(ddof=1), 3 * by_fact.var(ddof=1)
    rest = (values - by_seed[:, None] - by_fact + values.mean()) ** 2
    beyond = over_facts - rest.sum() / 6
    squares = stats.t.ppf(0.975, 2) ** 2 * over_seeds + stats.t.ppf(0.975, 3) ** 2 * beyond
    found = Crossed.of(values)
    assert beyond > 0
    assert found.half_width() == pytest.approx(math.sqrt(squares / 12))
    assert found.mean == pytest.approx(values.mean())


def test_seeds_with_different_items_fall_back_to_students_interval():
    items = [np.array([1.0, 0.0]), np.array([1.0, 1.0, 0.0]), np.array([1.0])]
    found = estimate([0.5, 2 / 3, 1.0], items, UNBOUNDED).interval
    assert found.kind is IntervalKind.SEEDS
    assert (found.low, found.high) == pytest.approx(
        (t_interval([0.5, 2 / 3, 1.0]).low, t_interval([0.5, 2 / 3, 1.0]).high)
    )


def test_two_seeds_add_both_variances():
    values = np.array([[1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    over_seeds = np.var([0.75, 0.25], ddof=1) / 2
    over_facts = np.var([1.0, 0.5, 0.0, 0.5], ddof=1) / 4
    total = over_seeds + over_facts
    freedom = total**2 / (over_seeds**2 / 1 + over_facts**2 / 3)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(total)
    found = estimate([0.75, 0.25], list(values), DIFFERENCE).interval
    assert found.low == pytest.approx(max(0.5 - half, -1))
    assert found.high == pytest.approx(min(0.5 + half, 1))


def test_seeds_that_agree_exactly_fall_back_to_facts():
    found = estimate([0.75] * 3, [RIGHT_OR_WRONG] * 3, SHARE).interval
    assert found.kind is IntervalKind.FACTS
    assert found.high > found.low


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_facts_that_all_agree_still_have_a_width(share):
    found = estimate([share], [np.full(20, share)], SHARE).interval
    assert (found.low, found.high) == pytest.approx(
        (wilson(20 * share, 20).low, wilson(20 * share, 20).high), abs=1e-9
    )


def test_an_identity_forgets_exactly_nothing():
    found = estimate([0.0], [np.zeros(50)], DIFFERENCE).interval
    assert (found.low, found.high) == (0.0, 0.0)


def test_without_values_there_is_nothing_and_without_items_no_interval():
    assert estimate([], [], SHARE) is None
    assert estimate([0.5], [np.array([])], SHARE).interval is None
    assert estimate([0.5, 0.6], [np.ones(2), np.ones(3)], SHARE).interval is None
    assert estimate([0.3], [np.array([0.3])], NON_NEGATIVE).interval is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_an_interval_stays_in_its_bounds_and_holds_the_mean(means):
    items = [np.array([mean, mean, 1 - mean]) for mean in means]
    found = estimate([float(values.mean()) for values in items], items, SHARE)
    assert 0 <= found.interval.low <= found.interval.high <= 1
    assert found.interval.low - 1e-9 <= found.value <= found.interval.high + 1e-9


def test_two_seeds_hold_their_coverage():
    rng = np.random.default_rng(0)
    truth = 1 / (1 + np.exp(-(1 + rng.normal(0, 1.5, 200_000)))).astype(float)
    covered = 0
    for _ in range(200):
        share = 1 / (1 + np.exp(-(1 + rng.normal(0, 1.5, 64))))
        items = [(rng.random(64) < share).astype(float) for _ in range(2)]
        found = estimate([values.mean() for values in items], items, SHARE).interval
        covered += found.low <= truth.mean() <= found.high
    assert covered / 200 >= 0.92


def test_fewer_resamples_are_not_remembered(monkeypatch):
    values = np.array([1.0] * 13 + [0.0] * 10)
    whole = statistics.bootstrap_over_facts(values)
    monkeypatch.setattr(statistics, "RESAMPLES", 3)
    assert statistics.bootstrap_over_facts(values) != whole
    monkeypatch.undo()
    assert statistics.bootstrap_over_facts(values) == whole
