"""Correlations: what they are, and that their intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from bench.report.statistics.correlation import correlation, correlation_within


def pairs(rng, count, rho):
    x, own = rng.normal(size=(2, count))
    return x, rho * x + np.sqrt(1 - rho**2) * own


def test_it_is_pearson_s():
    x, y = pairs(np.random.default_rng(0), 20, 0.5)
    found = correlation(x, y)
    assert found.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found.low < found.value < found.high
    assert (found.points, found.groups) == (20, 1)
    assert correlation(3 * x + 1, -y).value == pytest.approx(-found.value)


def test_points_on_a_line_have_no_width():
    found = correlation([1, 2, 3, 4], [2, 4, 6, 8])
    assert found.value == found.low == found.high == pytest.approx(1)


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2, 3], [3, 1, 2]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([], [])]
)
def test_too_few_points_or_equal_ones_have_none(x, y):
    assert correlation(x, y) is None


def test_within_groups_their_means_do_not_count():
    rng = np.random.default_rng(1)
    parts = [pairs(rng, 6, 0.7) for _ in range(4)]
    shifted = [(x + 100 * n, y - 100 * n) for n, (x, y) in enumerate(parts)]
    found = correlation_within(*zip(*shifted, strict=True))
    plain = correlation_within(*zip(*parts, strict=True))
    assert found.value == pytest.approx(plain.value)
    assert (found.points, found.groups) == (24, 4)
    whole = correlation(*(np.concatenate(side) for side in zip(*shifted, strict=True)))
    assert whole.value < -0.9 < 0 < found.value


def test_a_group_of_one_point_says_nothing():
    x, y = pairs(np.random.default_rng(2), 6, 0.5)
    found = correlation_within([x, [9.0], [7.0]], [y, [1.0], [2.0]])
    assert found == correlation_within([x], [y])
    assert correlation_within([[1.0], [2.0]], [[1.0], [2.0]]) is None


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("count", [5, 8, 18])
def test_intervals_over_methods_hold_the_truth(rho, count):
    rng = np.random.default_rng([count, round(10 * rho)])
    found = [correlation(*pairs(rng, count, rho)) for _ in range(1500)]
    assert 0.93 <= np.mean([one.low <= rho <= one.high for one in found]) <= 0.97


@pytest.mark.parametrize("rho", [0.0, 0.7])
@pytest.mark.parametrize(("groups", "size"), [(4, 3), (8, 3), (6, 9)])
def test_intervals_within_methods_hold_the_truth(rho, groups, size):
    rng = np.random.default_rng([groups, size, round(10 * rho)])
    held = []
    for _ in range(1500):
        parts = [pairs(rng, size, rho) for _ in range(groups)]
        shifts = rng.normal(size=(2, groups), scale=3)
        x = [a + shift for (a, _), shift in zip(parts, shifts[0], strict=True)]
        y = [b + shift for (_, b), shift in zip(parts, shifts[1], strict=True)]
        one = correlation_within(x, y)
        held.append(one.low <= rho <= one.high)
    assert 0.93 <= np.mean(held) <= 0.97
