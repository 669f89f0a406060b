"""Intervals of classification hold the truth where a label has texts enough, and else warn."""

import pytest

from bench.evaluation.label_metrics import balanced_accuracy
from bench.planning.notices import ENOUGH_OF_A_LABEL
from tests.bench.report.statistics.label_simulation import MANY, MEASURES, coverage


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("counts", MANY)
def test_intervals_hold_the_truth_where_every_label_has_many_texts(counts, measure):
    assert min(counts) >= ENOUGH_OF_A_LABEL
    assert coverage(counts, measure) >= 0.88


def test_a_label_of_few_texts_makes_intervals_too_narrow():
    assert coverage((5, 95), balanced_accuracy) < 0.8, "which is why a plan warns"
