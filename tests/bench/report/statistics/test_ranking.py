"""Ranks from pairs that can be told apart: by hand, and never against the comparisons."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.report.leaderboard.load import load_leaderboard
from bench.report.statistics.comparison import Verdict
from bench.report.statistics.ranking import RankInterval, mean_ranks, rank_intervals, separated
from tests.bench.report_cells import fill, make_cell

NAN = np.nan


def matrices(means, ps):
    """Symmetric p's and differences of methods with these means; `ps` by pair."""
    count = len(means)
    table = np.full((count, count), NAN)
    for (one, other), p in ps.items():
        table[one, other] = table[other, one] = p
    return table, np.subtract.outer(np.array(means), np.array(means))


def test_a_rank_is_bounded_by_what_is_separated_above_and_below():
    found = rank_intervals(*matrices([3, 2, 1], {(0, 1): 0.001, (0, 2): 0.001, (1, 2): 0.5}))
    assert found == [RankInterval(1, 1), RankInterval(2, 3), RankInterval(2, 3)]


def test_a_pair_has_to_be_rejected_among_the_rivals_of_both():
    # 0.02 passes Holm beside 0.001 in the family of method 0, and not beside 0.6 in that of 2.
    ps = {(0, 1): 0.001, (0, 2): 0.03, (1, 2): 0.6}
    table, better = matrices([3, 2, 1], ps)
    assert separated(table).tolist() == [
        [False, True, False],
        [True, False, False],
        [False, False, False],
    ]
    assert rank_intervals(table, better) == [RankInterval(1, 2), RankInterval(2, 3), None]


def test_pairs_that_were_not_tested_are_not_separated_and_do_not_count():
    table, better = matrices([2, 1, 0], {(0, 1): 0.04})
    assert separated(table)[0, 1]
    assert rank_intervals(table, better)[2] is None
    nothing = np.full((3, 3), NAN)
    assert rank_intervals(nothing, better) == [None] * 3


@given(st.lists(st.floats(1e-6, 1), min_size=10, max_size=10), st.permutations(range(5)))
def test_ranks_leave_room_for_the_order_of_the_means(ps, means):
    pairs = [(one, other) for one in range(5) for other in range(one)]
    found = rank_intervals(*matrices(means, dict(zip(pairs, ps, strict=True))))
    for mean, interval in zip(means, found, strict=True):
        low, high = (interval.low, interval.high) if interval else (1, 5)
        assert low <= 5 - mean <= high


def test_mean_ranks_share_ties_and_ignore_rounding():
    means = np.array([[0.3, 0.1 + 0.2, 0.1], [1.0, 2.0, 3.0]])
    assert mean_ranks(means).tolist() == [(1.5 + 3) / 2, (1.5 + 2) / 2, (3 + 1) / 2]


def test_ranks_never_contradict_the_comparisons_with_the_reference(tmp_path):
    levels = {"lora": 0.6, "dora": 0.7, "corda": 0.85, "pissa": 0.4, "olora": 0.62}
    cells = [
        make_cell(spec={"method": method, "seed": seed}, accuracy=accuracy)
        for method, accuracy in levels.items()
        for seed in range(4)
    ]
    (section,) = load_leaderboard(fill(tmp_path, cells)).sections
    rows = {row.label: row for row in section.rows}
    own = rows["lora"].standing.rank
    verdicts = set()
    for label, row in rows.items():
        if label == "lora":
            continue
        verdict = row.standing.comparisons[section.headline].verdict
        verdicts.add(verdict)
        rank = row.standing.rank or RankInterval(1, len(rows))
        if rank.high < own.low:
            assert verdict is Verdict.BETTER
        if rank.low > own.high:
            assert verdict is Verdict.WORSE
        if verdict is Verdict.TIE:
            assert rank.low <= own.high
            assert own.low <= rank.high
    assert len(verdicts) > 1, "the levels are chosen so that some differ and some do not"
