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
    EPOCHS,
    EVERY_FACT,
    MOVED_AWAY,
    ON_TRAINED_PROMPT,
    UNKNOWN,
    WITHIN_RELATION,
    by_bucket,
    distances_of,
    edges_of,
    fixed_bins,
    learned_by,
    quantile_buckets,
)
from bench.report.leaderboard.load import load_leaderboard
from bench.report.plots.learning_curves_by_distance import curve_of
from bench.report.statistics.intervals import IntervalKind, wilson
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
    (found,) = by_bucket(row_of(tmp_path, *cells), WHOLE, ACCURACY, EVERY_FACT)
    mean = np.mean([record.metrics.reliability for record, _ in cells])
    assert found.value == pytest.approx(mean)
    expected = wilson(10 * mean, 10)
    assert found.interval.low <= expected.low < expected.high <= found.interval.high


def test_moving_away_is_a_distance_that_grew_by_more_than_rounding(tmp_path):
    before = [0.0, 0.5, 0.5, 0.5]
    after = [0.0, 0.5 + 5e-4, 0.6, 0.1]
    cell = with_rows(make_cell(n=4), distance_before=before, distance_few_shot=after)
    row = row_of(tmp_path, cell)
    (away,) = by_bucket(row, WHOLE, MOVED_AWAY, EVERY_FACT)
    (mean,) = by_bucket(row, WHOLE, DEVIATION, EVERY_FACT)
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
    assert distances_of(row, UNKNOWN).tolist() == [0.4, 0.8]
    edges = edges_of(quantile_buckets(distances_of(row, UNKNOWN)))
    (unknown,) = by_bucket(row, edges, ACCURACY, UNKNOWN)
    assert unknown.value == 0.5
    (everyone,) = by_bucket(row, WHOLE, ACCURACY, EVERY_FACT)
    assert everyone.value == 0.75


def test_a_bucket_without_facts_has_no_value(tmp_path):
    row = row_of(tmp_path, with_rows(make_cell(n=2), distance_before=[0.05, 0.05]))
    found = by_bucket(row, np.array([0.0, 0.1, 0.2]), ACCURACY, EVERY_FACT)
    assert found[0] is not None
    assert found[1] is None


def test_a_buckets_dose_curve_is_of_the_facts_that_were_trained(tmp_path):
    cell = with_rows(
        make_cell(n=11, spec={"epochs": 2}),
        distance_before=[*[0.1] * 6, *[0.9] * 5],
        epochs_to_learn=[*[2] * 5, None, *[3] * 5],
    )
    row = row_of(tmp_path, cell)
    edges = np.array([0.0, 0.5, 1.0])
    near = curve_of(row, edges, 0, EVERY_FACT)
    far = curve_of(row, edges, 1, EVERY_FACT)
    assert {epoch: point.value for epoch, point in near.items()} == {0: 0.0, 1: 0.0, 2: 1.0}
    assert {point.value for point in far.values()} == {0.0}, "3 of 2 epochs: never learned"


def test_facts_that_seeds_trained_differently_are_not_paired(tmp_path):
    def seeded(seed, epochs):
        cell = make_cell(n=10, spec={"epochs": 1, "seed": seed})
        return with_rows(cell, distance_before=[0.1] * 10, epochs_to_learn=epochs * 5)

    same = row_of(tmp_path / "same", seeded(0, [1, 2]), seeded(1, [1, 2]))
    other = row_of(tmp_path / "other", seeded(0, [1, None]), seeded(1, [None, 2]))
    assert curve_of(same, WHOLE, 0, EVERY_FACT)[1].interval is not None
    last = curve_of(other, WHOLE, 0, EVERY_FACT)[1]
    assert (last.value, last.interval) == (0.5, None)


def test_epochs_and_the_share_learned_leave_out_facts_that_were_not_trained(tmp_path):
    cell = with_rows(make_cell(n=4, spec={"epochs": 4}), epochs_to_learn=[1, 3, None, 5])
    row = row_of(tmp_path, cell)
    (epochs,) = by_bucket(row, WHOLE, EPOCHS, EVERY_FACT)
    (share,) = by_bucket(row, WHOLE, learned_by(3), EVERY_FACT)
    assert epochs.value == pytest.approx(3.0)
    assert share.value == pytest.approx(2 / 3)
    assert 0 <= epochs.interval.low <= epochs.interval.high <= 5, "one more than all is the most"


def test_what_only_relations_differ_in_is_gone_within_relations(tmp_path):
    n = 12
    slow = [i % 2 for i in range(n)]  # every second fact is of the far and slow relation
    cell = with_rows(
        make_cell(n=n, known=0.0, spec={"epochs": 8}),
        relation=["codes" if one else "capitals" for one in slow],
        epochs_to_learn=[6 if one else 2 for one in slow],
        distance_before=[0.8 + 0.01 * i if one else 0.2 + 0.01 * i for i, one in enumerate(slow)],
    )
    row = row_of(tmp_path, cell)
    found = {}
    for population in (UNKNOWN, WITHIN_RELATION):
        edges = edges_of(quantile_buckets(distances_of(row, population)))
        values = [b.value for b in by_bucket(row, edges, EPOCHS, population) if b]
        found[population] = values
        counts = [b.n for b in quantile_buckets(distances_of(row, population))]
        assert np.average(values, weights=counts) == pytest.approx(4.0), "the grand mean stays"
    assert np.ptp(found[UNKNOWN]) == pytest.approx(4.0)
    assert np.ptp(found[WITHIN_RELATION]) == pytest.approx(0.0, abs=1e-9)


def test_each_prompt_is_compared_with_its_own_before(tmp_path):
    cell = with_rows(
        make_cell(n=2),
        distance_before=[0.5, 0.5],
        distance_few_shot=[0.1, 0.1],
        distance_before_trained=[0.9, None],
        distance_after=[0.0, 0.0],
    )
    row = row_of(tmp_path, cell)
    (asked_alike,) = by_bucket(row, WHOLE, DEVIATION, EVERY_FACT)
    (trained,) = by_bucket(row, WHOLE, DEVIATION, ON_TRAINED_PROMPT)
    assert asked_alike.value == pytest.approx(-0.4)
    assert trained.value == pytest.approx(-0.9), "an empty answer before has no distance"


def test_a_bucket_of_seeds_with_as_many_other_facts_counts_the_fewest(tmp_path):
    cells = []
    for seed in range(3):
        dropped = [None if seed <= i < seed + 30 else 9 for i in range(40)]
        cells.append(with_rows(make_cell(n=40, spec={"seed": seed}), epochs_to_learn=dropped))
    row = row_of(tmp_path, *cells)
    (found,) = by_bucket(row, WHOLE, learned_by(4), EVERY_FACT)
    assert (found.value, found.items) == (0.0, 10)
    expected = wilson(0, 10)
    assert (found.interval.low, found.interval.high) == (expected.low, expected.high)
    assert found.interval.kind is IntervalKind.SEEDS


def test_an_adjusted_share_has_no_interval_beyond_what_is_possible(tmp_path):
    cells = [make_cell(n=12, accuracy=0.97, relations=3, spec={"seed": s}) for s in range(3)]
    row = row_of(tmp_path, *cells)
    edges = edges_of(quantile_buckets(distances_of(row, WITHIN_RELATION)))
    found = [one for one in by_bucket(row, edges, ACCURACY, WITHIN_RELATION) if one]
    assert any(one.interval for one in found)
    for one in found:
        if one.interval is not None:
            assert min(0, one.value) <= one.interval.low <= one.value
            assert one.value <= one.interval.high <= max(1, one.value)


def test_no_curve_is_drawn_of_fewer_than_five_facts(tmp_path):
    four = row_of(tmp_path / "4", make_cell(n=4), make_cell(n=4, spec={"seed": 1}))
    five = row_of(tmp_path / "5", make_cell(n=5), make_cell(n=5, spec={"seed": 1}))
    assert curve_of(four, WHOLE, 0, EVERY_FACT) == {}
    assert curve_of(five, WHOLE, 0, EVERY_FACT)
