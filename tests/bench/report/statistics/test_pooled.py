"""The mean of an effect over settings: its interval, its freedom, and the tests that invert it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.report.statistics.comparison import p_value
from bench.report.statistics.intervals import Crossed
from bench.report.statistics.pooled import Pooled


def table(seed, seeds=5, facts=40, mean=0.2):
    """Values `[effects, seeds, facts]` with spread over both."""
    rng = np.random.default_rng(seed)
    return (
        mean
        + rng.normal(0, 0.1, (3, seeds, 1))
        + rng.normal(0, 0.5, (3, 1, facts))
        + rng.normal(0, 0.4, (3, seeds, facts))
    )


def test_one_setting_has_the_interval_and_the_p_of_its_own():
    values = table(0)
    crossed = Crossed.of(values)
    found = Pooled.of([crossed])
    for miss in (0.2, 0.05, 1e-6):
        np.testing.assert_allclose(found.half_width(miss), crossed.half_width(miss))
    np.testing.assert_allclose(found.p(), [p_value(each) for each in values], rtol=1e-6)


def test_the_formula_of_several_settings_written_plainly():
    some = [table(1), table(2), table(3, mean=-0.1)]
    found = Pooled.of([Crossed.of(values) for values in some])
    for place in range(3):
        s, f, e = [], [], []
        for values in some:
            one = values[place]
            rows, columns, mean = one.mean(1), one.mean(0), one.mean()
            s.append(40 * ((rows - mean) ** 2).sum() / 4)
            f.append(5 * ((columns - mean) ** 2).sum() / 39)
            e.append(((one - rows[:, None] - columns + mean) ** 2).sum() / (4 * 39))
        s, f, e = map(np.array, (s, f, e))
        a = (s / 200).sum() / 9
        b = (np.maximum(f - e, 0) / 200).sum() / 9
        freedom = s.sum() ** 2 / (s**2 / 4).sum()
        h = np.sqrt(stats.t.ppf(0.975, freedom) ** 2 * a + stats.t.ppf(0.975, 39) ** 2 * b)
        assert found.half_width()[place] == pytest.approx(h)
        assert found.mean[place] == pytest.approx(np.mean([v[place].mean() for v in some]))


def test_the_tests_invert_the_interval():
    found = Pooled.of([Crossed.of(table(4)), Crossed.of(table(5, seeds=8, facts=90))])
    np.testing.assert_allclose(found.half_width(found.p()), np.abs(found.mean), rtol=1e-6)
    at_low_end = Pooled.of([Crossed.of(table(4))])
    for end, expected in ((1, 0.025), (-1, 0.975)):
        margins = at_low_end.mean + end * at_low_end.half_width()
        ps = [at_low_end.p_at_least(margin)[place] for place, margin in enumerate(margins)]
        np.testing.assert_allclose(ps, expected, rtol=1e-6)
        others = [at_low_end.p_at_most(margin)[place] for place, margin in enumerate(margins)]
        np.testing.assert_allclose(others, 1 - expected, rtol=1e-6)
    assert (found.p(null=found.mean[0])[0], found.p_at_least(found.mean[0])[0]) == (1, 0.5)


def test_seeds_that_agree_leave_the_rest_to_the_facts():
    values = np.repeat(table(6)[:, :1], 5, axis=1)
    crossed = Crossed.of(values)
    assert crossed.over_seeds == pytest.approx(0, abs=1e-20)
    exact = Crossed(crossed.mean, 0 * crossed.mean, crossed.over_facts, crossed.rest, 5, 40)
    found = Pooled.of([exact])
    half = stats.t.ppf(0.975, 39) * values[:, 0].std(axis=1, ddof=1) / np.sqrt(40)
    np.testing.assert_allclose(found.half_width(), half)
    never = Crossed(*np.zeros((4, 1)), 5, 40)
    assert Pooled.of([never]).half_width() == 0
