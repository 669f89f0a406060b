import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.report.statistics.paired_items import PairedTest, compare_items, mcnemar_p, student_p

COUNTS = st.integers(0, 300)


@given(COUNTS, COUNTS)
def test_mcnemar_is_the_exact_binomial_test(first, second):
    n = first + second
    expected = stats.binomtest(first, n).pvalue if n else 1.0
    assert mcnemar_p(first, second) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=5, max_size=40), st.data())
def test_other_scores_get_the_paired_t_test_and_its_interval(first, data):
    second = data.draw(st.lists(st.floats(-5, 5), min_size=len(first), max_size=len(first)))
    one, other = np.array(first), np.array(second)
    differences = other - one
    if np.ptp(differences) < 1e-6 or {*first, *second} <= {0, 1}:
        return
    found = compare_items(one, other)
    expected = stats.ttest_rel(other, one)
    interval = expected.confidence_interval(0.95)
    assert found.test is PairedTest.STUDENT
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)
    ends = (found.difference.interval.low, found.difference.interval.high)
    assert ends == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


def test_right_and_wrong_are_counted_on_each_side():
    one = np.array([1, 1, 1, 0, 0, 1, 1.0])
    other = np.array([1, 0, 0, 1, 0, 0, 1.0])
    found = compare_items(one, other)
    assert (found.first_higher, found.second_higher) == (3, 1)
    assert (found.first, found.second) == pytest.approx((5 / 7, 3 / 7))
    assert found.difference.value == pytest.approx(-2 / 7)
    assert found.p == pytest.approx(stats.binomtest(1, 4).pvalue)


def test_four_items_decide_nothing():
    assert compare_items(np.zeros(4), np.ones(4)).p is None
    assert compare_items(np.zeros(5), np.ones(5)).p == pytest.approx(2 / 32)


def test_one_amount_everywhere_tells_nothing_of_chance():
    assert student_p(np.full(8, 0.25)) is None
    assert student_p(np.zeros(8)) == 1.0
