"""Intervals: the numbers by hand, and what kind is given for how many seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.report.statistics.intervals import (
    DIFFERENCE,
    NON_NEGATIVE,
    SHARE,
    UNBOUNDED,
    Crossed,
    IntervalKind,
    estimate,
    half_widths,
    score_ends,
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


def test_one_seed_is_wilsons_interval_over_facts():
    found = estimate([0.75], [RIGHT_OR_WRONG], SHARE).interval
    expected = wilson(48, 64)
    assert (found.low, found.high) == (expected.low, expected.high)
    assert found.kind is IntervalKind.FACTS


def test_one_seed_takes_the_mean_of_facts_that_are_right_in_part_as_the_share():
    halves = np.array([1.0, 0.5, 0.5, 0.0, 0.25, 0.75, 1.0, 1.0])
    found = estimate([float(halves.mean())], [halves], SHARE).interval
    expected = wilson(5.0, 8)
    assert (found.low, found.high) == (expected.low, expected.high)


def test_one_seed_of_another_mean_is_students_interval_over_facts():
    nats = np.array([0.1, 0.4, 0.2, 0.9, 0.3])
    half = stats.t.ppf(0.975, 4) * nats.std(ddof=1) / math.sqrt(5)
    found = estimate([float(nats.mean())], [nats], UNBOUNDED).interval
    assert (found.low, found.high) == pytest.approx((nats.mean() - half, nats.mean() + half))
    assert found.kind is IntervalKind.FACTS


def solves(mean, end, k):
    """Whether an end is where the true share's own variance just allows the mean."""
    return (mean - end) ** 2 == pytest.approx(k * end * (1 - end))


def test_score_ends_are_howes_width_with_the_variance_of_the_end():
    rng = np.random.default_rng(2)
    values = (rng.random((3, 80)) < 0.93).astype(float)
    half, mean = Crossed.of(values).half_width(), values.mean()
    found = estimate(list(values.mean(axis=1)), list(values), SHARE).interval
    k = half**2 / (mean * (1 - mean))
    assert found.low < mean < found.high < 1
    assert solves(mean, found.low, k)
    assert solves(mean, found.high, k)
    assert mean - found.low > found.high - mean, "the wider side is the one away from the edge"


@pytest.mark.parametrize("right", [0.0, 1.0])
@pytest.mark.parametrize("seeds", [1, 2, 3, 8])
def test_all_right_and_all_wrong_have_wilsons_width_whatever_the_seeds(right, seeds):
    found = estimate([right] * seeds, [np.full(100, right)] * seeds, SHARE).interval
    expected = wilson(100 * right, 100)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.high - found.low > 0.03


def test_below_64_facts_a_share_is_never_narrower_than_wilsons():
    for facts, floored in ((63, True), (64, False)):
        values = np.tile(np.arange(facts) % 2.0, (4, 1))
        half = np.array(0.01)  # narrower than any real one
        low, high = score_ends(values.mean(), half, facts, seeds=4)
        own = wilson(values[0].sum(), facts)
        assert (low <= own.low + 1e-9 and high >= own.high - 1e-9) == floored


def test_seeds_that_agree_exactly_leave_the_interval_to_the_facts():
    values = np.array([np.roll(RIGHT_OR_WRONG, by) for by in (0, 3, 7)])
    shuffled = np.array(
        [np.random.default_rng(by).permutation(row) for by, row in enumerate(values)]
    )
    half = stats.t.ppf(0.975, 63) * shuffled.mean(axis=0).std(ddof=1) / 8
    assert half_widths(shuffled / 3) == pytest.approx(half / 3), "thirds add up differently"


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


def test_two_seeds_are_howes_interval_too_and_wide_for_it():
    values = np.array([[1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    found = estimate([0.75, 0.25], list(values), UNBOUNDED).interval
    assert found.high - found.low == pytest.approx(2 * Crossed.of(values).half_width())
    assert found.high - found.low > 2 * stats.t.ppf(0.975, 1) * 0.25
    assert found.kind is IntervalKind.TWO_SEEDS


def test_a_share_of_different_items_has_score_ends_over_seeds():
    items = [np.ones(6), np.array([1.0] * 7 + [0.0]), np.ones(9)]
    means = [float(values.mean()) for values in items]
    found = estimate(means, items, SHARE).interval
    assert found.kind is IntervalKind.SEEDS
    assert 0.4 < found.low < np.mean(means) < found.high < 1
    agreed = estimate([1.0] * 3, [np.ones(6), np.ones(7), np.ones(9)], SHARE).interval
    assert agreed.low < 0.7, "six wrong answers of one kind say little about others"


def test_an_estimate_says_of_how_few_items_it_is():
    four, five = (estimate([1.0, 1.0], [np.ones(n)] * 2, SHARE) for n in (4, 5))
    assert (four.items, four.is_of_enough) == (4, False)
    assert (five.items, five.is_of_enough) == (5, True)
    assert estimate([0.5], [], SHARE).is_of_enough, "how many is not known"


def test_seeds_that_agree_exactly_are_labelled_as_facts_alone():
    found = estimate([0.75] * 3, [RIGHT_OR_WRONG] * 3, SHARE).interval
    assert found.kind is IntervalKind.FACTS
    assert found.high > found.low


def test_an_identity_forgets_exactly_nothing():
    found = estimate([0.0], [np.zeros(50)], DIFFERENCE).interval
    assert (found.low, found.high) == (0.0, 0.0)


def test_without_values_there_is_nothing_and_without_items_no_interval():
    assert estimate([], [], SHARE) is None
    assert estimate([0.5], [np.array([])], SHARE).interval is None
    assert estimate([0.5, 0.6], [np.ones(2), np.ones(3)], SHARE).interval is None
    assert estimate([0.3], [np.array([0.3])], NON_NEGATIVE).interval is None
    assert estimate([0.3] * 3, [np.array([0.3])] * 3, DIFFERENCE).interval is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_an_interval_stays_in_its_bounds_and_holds_the_mean(means):
    items = [np.array([mean, mean, 1 - mean]) for mean in means]
    found = estimate([float(values.mean()) for values in items], items, SHARE)
    assert 0 <= found.interval.low <= found.interval.high <= 1
    assert found.interval.low - 1e-9 <= found.value <= found.interval.high + 1e-9


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_seeds_with_other_facts_that_are_all_alike_still_have_a_width(share):
    items = [np.full(n, share) for n in (6, 9, 12)]
    found = estimate([share] * 3, items, SHARE, same_facts=False)
    expected = wilson(6 * share, 6)
    assert (found.interval.low, found.interval.high) == (expected.low, expected.high)
    assert found.interval.kind is IntervalKind.SEEDS
    assert found.items == 6


def test_as_many_facts_are_not_crossed_where_they_are_others():
    values = [np.array([1.0] * k + [0.0] * (80 - k)) for k in (60, 66, 70)]
    means = [float(one.mean()) for one in values]
    found = estimate(means, values, SHARE, same_facts=False).interval
    students = t_interval(means)
    mean, half = np.mean(means), (students.high - students.low) / 2
    low, high = score_ends(np.array(mean), np.array(half), 80, 3)
    assert (found.low, found.high) == pytest.approx((float(low), float(high)))
    assert found.kind is IntervalKind.SEEDS
    assert estimate(means[:2], values[:2], SHARE, same_facts=False).interval is None


def test_the_fewest_items_of_any_seed_decide_whether_a_mean_is_shown():
    items = [np.zeros(n) for n in (40, 4, 30)]
    assert not estimate([0.0] * 3, items, SHARE, same_facts=False).is_of_enough
