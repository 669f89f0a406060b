"""Buckets of distance: every fact once, honest intervals, the right facts in each variant."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.leaderboard.distance_buckets import (
    ACCURACY,
    DEVIATION,
    MOVED_AWAY,
    by_bucket,
    distances_of,
    edges_of,
    fixed_bins,
    quantile_buckets,
)
from bench.report.leaderboard.load import load_leaderboard
from bench.report.plots.learning_curves_by_distance import curve_of
from bench.report.statistics.intervals import wilson
from tests.bench.report_cells import fill, make_cell

WHOLE = np.array([0.0, 2.0])
distances = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]) | st.floats(0, 2), min_size=1)


def row_of(folder, *cells):
    (row,) = load_leaderboard(fill(folder, cells)).rows
    return row


def with_rows(cell, **columns):
    """Change columns of a cell's rows, each given as the values of its first rows."""
    record, rows = cell
    for name, values in columns.items():
        changed = [
            row.model_copy(update={name: value}) for row, value in zip(rows, values, strict=False)
        ]
        rows = [*changed, *rows[len(values) :]]
    return record, rows


@pytest.mark.parametrize("bucketing", [quantile_buckets, fixed_bins])
@given(distances)
def test_buckets_hold_every_fact_once(bucketing, values):
    buckets = bucketing(np.array(values))
    assert sum(bucket.n for bucket in buckets) == len(values)
    assert buckets[0].low <= min(values)
    assert buckets[-1].high >= max(values)
    assert all(one.high == two.low for one, two in pairwise(buckets))


@given(distances)
def test_there_are_few_quantile_buckets_and_they_end_at_facts(values):
    buckets = quantile_buckets(np.array(values))
    assert len(buckets) <= 6
    assert (buckets[0].low, buckets[-1].high) == (min(values), max(values))


def test_distinct_distances_make_five_equal_buckets():
    assert [bucket.n for bucket in quantile_buckets(np.arange(50.0))] == [11, 10, 10, 10, 9]


def test_known_facts_at_distance_zero_are_a_bucket_of_their_own():
    buckets = quantile_buckets(np.array([0.0] * 4 + [0.2, 0.4, 0.6, 0.8]))
    assert (buckets[0].low, buckets[0].high, buckets[0].n) == (0.0, 0.0, 4)


def test_bins_are_a_tenth_wide_and_hold_their_upper_end():
    bins = fixed_bins(np.array([0.25, 0.3, 0.31, 0.55]))
    assert [(bucket.low, bucket.high, bucket.n) for bucket in bins] == [
        (0.2, 0.3, 2),
        (0.3, 0.4, 1),
        (0.4, 0.5, 0),
        (0.5, 0.6, 1),
    ]


def test_seeds_do_not_multiply_the_facts_of_a_bucket(tmp_path):
    cells = [make_cell(n=10, accuracy=0.5, spec={"seed": seed}) for seed in range(3)]
    (found,) = by_bucket(row_of(tmp_path, *cells), WHOLE, ACCURACY, unknown_only=False)
    mean = np.mean([record.metrics.reliability for record, _ in cells])
    assert found.value == pytest.approx(mean)
    expected = wilson(10 * mean, 10)
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


def test_moving_away_is_a_distance_that_grew_by_more_than_rounding(tmp_path):
    before = [0.0, 0.5, 0.5, 0.5]
    after = [0.0, 0.5 + 5e-4, 0.6, 0.1]
    cell = with_rows(make_cell(n=4), distance_before=before, distance_after=after)
    row = row_of(tmp_path, cell)
    (away,) = by_bucket(row, WHOLE, MOVED_AWAY, unknown_only=False)
    (mean,) = by_bucket(row, WHOLE, DEVIATION, unknown_only=False)
    assert away.value == 0.25
    assert away.interval == wilson(1, 4)
    assert mean.value == pytest.approx(np.mean(np.subtract(after, before)))
    assert mean.interval.low < mean.value < mean.interval.high


def test_unknown_facts_alone_form_their_own_buckets(tmp_path):
    known = [True, True, False, False]
    cell = with_rows(
        make_cell(n=4),
        correct_before=known,
        correct_after=[True, True, True, False],
        distance_before=[0.0, 0.0, 0.4, 0.8],
    )
    row = row_of(tmp_path, cell)
    assert distances_of(row, unknown_only=True).tolist() == [0.4, 0.8]
    edges = edges_of(quantile_buckets(distances_of(row, unknown_only=True)))
    (unknown,) = by_bucket(row, edges, ACCURACY, unknown_only=True)
    assert unknown.value == 0.5
    (everyone,) = by_bucket(row, WHOLE, ACCURACY, unknown_only=False)
    assert everyone.value == 0.75


def test_a_bucket_without_facts_has_no_value(tmp_path):
    row = row_of(tmp_path, with_rows(make_cell(n=2), distance_before=[0.05, 0.05]))
    found = by_bucket(row, np.array([0.0, 0.1, 0.2]), ACCURACY, unknown_only=False)
    assert found[0] is not None
    assert found[1] is None


def test_a_buckets_learning_curve_is_of_the_facts_that_were_trained(tmp_path):
    cell = with_rows(
        make_cell(n=3, spec={"epochs": 2}),
        distance_before=[0.1, 0.1, 0.9],
        kept=[True, False, True],
        curve=[[0.2, 0.6], [], [0.0, 1.0]],
    )
    row = row_of(tmp_path, cell)
    edges = np.array([0.0, 0.5, 1.0])
    near = curve_of(row, edges, 0, unknown_only=False)
    far = curve_of(row, edges, 1, unknown_only=False)
    assert [point.value for point in near] == [0.2, 0.6]
    assert [point.value for point in far] == [0.0, 1.0]


def test_facts_that_seeds_trained_differently_are_not_paired(tmp_path):
    def seeded(seed, curves):
        cell = make_cell(n=2, spec={"epochs": 1, "seed": seed})
        return with_rows(cell, distance_before=[0.1, 0.1], curve=curves)

    same = row_of(tmp_path / "same", seeded(0, [[0.2], [0.6]]), seeded(1, [[0.4], [0.6]]))
    other = row_of(tmp_path / "other", seeded(0, [[0.2], []]), seeded(1, [[], [0.6]]))
    assert curve_of(same, WHOLE, 0, unknown_only=False)[-1].interval is not None
    (point,) = curve_of(other, WHOLE, 0, unknown_only=False)
    assert (point.value, point.interval) == (pytest.approx(0.4), None)
