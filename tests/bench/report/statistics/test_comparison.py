"""Paired comparisons with a reference: numbers by hand, Holm, pairing, ties, ranks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.report.leaderboard.load import load_leaderboard
from bench.report.leaderboard.standings import compare_rows
from bench.report.statistics.comparison import (
    Comparison,
    Measured,
    Verdict,
    bonett_price,
    compare_all,
    corrected,
    mcnemar,
)
from bench.report.statistics.intervals import DIFFERENCE, Estimate, IntervalKind
from bench.report.statistics.ranking import bootstrap_means, improvement, rank_intervals
from bench.report.tables.csv import leaderboard_frame
from tasks.errors import UsageError
from tests.bench.report_cells import fill, make_cell, make_forgetting

METHODS = {"lora": 0.6, "dora": 0.6, "corda": 0.99, "pissa": 0.1}


def compare(method, reference):
    return compare_all([(method, reference)])[0]


def board_of(folder, cells, reference=None):
    return load_leaderboard(fill(folder, cells), reference)


def grid(seeds=(0, 1, 2), methods=METHODS):
    return [
        make_cell(spec={"method": method, "seed": seed}, accuracy=accuracy)
        for method, accuracy in methods.items()
        for seed in seeds
    ]


def answers(*by_seed):
    return Measured({seed: np.array(v, dtype=float) for seed, v in enumerate(by_seed)}, DIFFERENCE)


def comparison(p, value=0.1):
    return Comparison(Estimate(value), p, None, (0,))


def test_one_seed_is_mcnemars_exact_test():
    one, other = answers([1, 1, 1, 1, 1, 1, 0, 0]), answers([0, 0, 0, 0, 0, 1, 1, 0])
    found = compare(one, other)
    assert found.difference.value == pytest.approx(0.5)
    assert found.difference.interval.kind is IntervalKind.FACTS
    assert found.p == pytest.approx(stats.binomtest(5, 6).pvalue)


def test_shares_of_one_seed_are_students_paired_test():
    one, other = [1.0, 0.5, 1.0, 0.25], [0.5, 0.5, 0.0, 0.0]
    found = compare(answers(one), answers(other))
    assert found.p == pytest.approx(stats.ttest_rel(one, other).pvalue)


def test_answers_that_nowhere_differ_are_a_tie_of_some_width():
    found = compare(answers([1] * 20), answers([1] * 20))
    interval = found.difference.interval
    assert (found.difference.value, found.p) == (0.0, 1.0)
    assert -0.2 < interval.low < 0 < interval.high < 0.2


def test_bonett_prices_interval_by_hand():
    found = bonett_price(np.array([1, 1, 1, 0, 0, 0, 0, -1], dtype=float))
    mean, error = 0.2, np.sqrt((0.6 - 0.2**2) / 10)
    assert found.high == pytest.approx(mean + 1.959964 * error, abs=1e-6)
    assert found.low == pytest.approx(mean - 1.959964 * error, abs=1e-6)


def test_seeds_that_agree_are_not_counted_as_more_facts():
    one, other = [1] * 4 + [0] * 4, [0] * 8
    thrice = compare(answers(one, one, one), answers(other, other, other))
    assert thrice.p == mcnemar(np.array([1.0] * 4)) == pytest.approx(0.125)


def test_only_seeds_and_items_of_both_are_compared():
    one = answers([1, 0, 1], [1, 1, 1], [1, 0, 0])
    assert compare(one, answers([0, 0, 1])).seeds == (0,)
    assert compare(one, Measured({7: np.zeros(3)})) is None
    labelled = [Measured({0: np.ones(3)}, items={0: digest}) for digest in "ab"]
    assert compare(*labelled) is None
    assert compare(labelled[0], labelled[0]) is not None


def test_holms_steps_by_hand_leave_out_what_was_not_tested():
    found = corrected([comparison(0.01), None, comparison(0.04), comparison(0.03)])
    assert [c.p_holm if c else None for c in found] == pytest.approx([0.03, None, 0.06, 0.06])
    assert [c.verdict for c in found if c] == [Verdict.BETTER, Verdict.TIE, Verdict.TIE]


def test_less_forgetting_is_better():
    less = Comparison(Estimate(-0.2), 0.001, 0.001, (0,), more_is_better=False)
    assert less.verdict is Verdict.BETTER


def test_rows_are_compared_with_lora_by_default_and_ties_stay_ties(tmp_path):
    board = board_of(tmp_path, grid())
    (section,) = board.sections
    rows = {row.label: row for row in section.rows}
    verdicts = {
        label: row.standing.comparisons["reliability"].verdict
        for label, row in rows.items()
        if row.standing.comparisons
    }
    assert section.reference == "lora"
    assert verdicts == {"dora": Verdict.TIE, "corda": Verdict.BETTER, "pissa": Verdict.WORSE}
    assert rows["lora"].standing.improvement is None
    assert rows["corda"].standing.improvement > 0.99 > 0.01 > rows["pissa"].standing.improvement
    ranks = {label: (row.standing.rank.low, row.standing.rank.high) for label, row in rows.items()}
    assert ranks == {"corda": (1, 1), "lora": (2, 3), "dora": (2, 3), "pissa": (4, 4)}


def test_the_difference_is_the_difference_of_the_means(tmp_path):
    frame = leaderboard_frame(board_of(tmp_path, grid(seeds=(0,)))).set_index("method")
    for metric in ("reliability", "generality", "forgetting.elements", "drift"):
        assert frame.loc["corda", f"{metric}_difference"] == pytest.approx(
            frame.loc["corda", metric] - frame.loc["lora", metric]
        )
        assert frame.loc["corda", f"{metric}_p"] <= frame.loc["corda", f"{metric}_p_holm"]
    assert frame.loc["lora", [c for c in frame if c.endswith(("_p", "_p_holm"))]].isna().all()
    assert set(frame["reference"]) == {"lora"}


def test_another_reference_and_one_that_is_nowhere(tmp_path):
    board = board_of(tmp_path, grid(seeds=(0,)), "corda")
    assert board.sections[0].reference == "corda"
    with pytest.raises(UsageError, match="unknown reference 'cordo': did you mean corda"):
        load_leaderboard(tmp_path, "cordo")


def test_without_the_default_reference_nothing_is_compared_and_ranks_stay(tmp_path):
    board = board_of(tmp_path, grid(seeds=(0,), methods={"dora": 0.9, "corda": 0.4}))
    assert board.sections[0].reference == ""
    assert [row.standing.comparisons for row in board.rows] == [{}, {}]
    assert [row.standing.rank.low for row in board.rows] == [1, 2]


def test_a_missing_seed_leaves_the_pairs_that_there_are(tmp_path):
    cells = [cell for cell in grid(methods={"lora": 0.6, "dora": 0.6}) if cell[0].spec.seed]
    cells.append(make_cell(spec={"method": "lora"}, accuracy=0.6))
    rows = {row.label: row for row in board_of(tmp_path, cells).rows}
    assert rows["dora"].standing.comparisons["reliability"].seeds == (1, 2)


def test_other_forgetting_items_are_not_compared(tmp_path):
    other = make_forgetting().model_copy(update={"digest": "9" * 64})
    cells = [make_cell(), make_cell(spec={"method": "dora"}, forgetting=[other])]
    section = board_of(tmp_path, cells).sections[0]
    reference = next(row for row in section.rows if row.label == "lora")
    assert compare_rows(section.rows, reference, "forgetting.elements") == [None, None]


def test_ranks_of_equal_methods_reach_over_both_places():
    values = [np.ones((2, 30)), np.ones((2, 30)), np.zeros((2, 30))]
    means = bootstrap_means(values)
    assert [(r.low, r.high) for r in rank_intervals(means)] == [(1, 2), (1, 2), (3, 3)]
    assert improvement(means[0], means[1]) == 0.5
    assert improvement(means[0], means[2]) == 1.0


def test_bootstrap_means_are_drawn_over_facts_and_over_seeds():
    values = np.random.default_rng(1).random((4, 50))
    drawn = bootstrap_means([values, values])
    assert np.array_equal(drawn[0], drawn[1]), "the same seeds and facts for all methods"
    over_facts = bootstrap_means([values[:1]])[0].std()
    assert over_facts == pytest.approx(values[0].std() / np.sqrt(50), rel=0.1)
    seeds_only = bootstrap_means([np.repeat([[0.0], [1.0]], 50, axis=1)])[0]
    assert seeds_only.mean() == pytest.approx(0.5, abs=0.05)
    assert set(np.round(seeds_only, 6)) == {0.0, 0.5, 1.0}
