"""Paired comparisons with a reference: numbers by hand, Holm, pairing, what is not tested."""

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
    bonett_price_p,
    compare_all,
    corrected,
    p_value,
)
from bench.report.statistics.intervals import DIFFERENCE, Crossed, Estimate, IntervalKind
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


@pytest.mark.parametrize(("seeds", "kind"), [(1, IntervalKind.FACTS), (2, IntervalKind.TWO_SEEDS)])
def test_one_and_two_seeds_show_a_difference_and_decide_nothing(seeds, kind):
    wrong = [[0] * (59 - seed) + [1] * (1 + seed) for seed in range(seeds)]
    found = compare(answers(*[[1] * 60] * seeds), answers(*wrong))
    assert found.difference.value == pytest.approx(59 / 60, abs=0.01)
    assert found.difference.interval.kind is kind
    assert found.p is None
    (after,) = corrected([found])
    assert (after.p_holm, after.verdict) == (None, Verdict.UNTESTED)
    assert p_value(np.ones((seeds, 60))) == 1.0


def test_fewer_than_five_facts_decide_nothing():
    for facts, tested in ((4, False), (5, True)):
        found = compare(answers(*[[1] * facts] * 3), answers(*[[0] * facts] * 3))
        assert (found.p is not None) == tested


def test_items_that_differ_between_seeds_are_shown_and_not_tested():
    one = answers([1] * 6, [1, 1, 1, 1, 0, 1, 1], [1] * 8)
    other = answers([0] * 6, [0] * 7, [0] * 8)
    found = compare(one, other)
    assert found.difference.interval.kind is IntervalKind.SEEDS
    assert found.p is None


def test_three_seeds_are_tested_by_the_interval_that_is_shown():
    rng = np.random.default_rng(8)
    for gap in (0.0, 0.1, 0.2, 0.3):
        one, other = (rng.random((3, 40)) < p for p in (0.5 + gap, 0.5))
        found = compare(answers(*one), answers(*other))
        interval = found.difference.interval
        assert (found.p < 0.05) == (not interval.low <= 0 <= interval.high)
        reached = Crossed.of(one.astype(float) - other).half_width(found.p)
        assert reached == pytest.approx(abs(found.difference.value), abs=1e-6)


def test_answers_that_nowhere_differ_are_a_tie_of_some_width():
    found = compare(answers(*[[1] * 20] * 3), answers(*[[1] * 20] * 3))
    interval = found.difference.interval
    assert (found.difference.value, found.p) == (0.0, 1.0)
    assert -0.2 < interval.low < 0 < interval.high < 0.2


def test_bonett_prices_interval_by_hand():
    found = bonett_price(np.array([1, 1, 1, 0, 0, 0, 0, -1], dtype=float))
    mean, error = 0.2, np.sqrt((0.6 - 0.2**2) / 10)
    assert found.high == pytest.approx(mean + 1.959964 * error, abs=1e-6)
    assert found.low == pytest.approx(mean - 1.959964 * error, abs=1e-6)


def test_answers_that_everywhere_differ_have_a_width_too_and_its_p():
    found = compare(answers(*[[1] * 6] * 3), answers(*[[0] * 6] * 3))
    assert found.difference.value == 1.0
    assert 0.2 < found.difference.interval.low < 0.8
    assert found.p == bonett_price_p(np.ones(6))
    assert 1e-4 < found.p < 0.05, "six facts are evidence, and not certainty"


def test_seeds_that_agree_are_not_counted_as_more_facts():
    one, other = [1] * 4 + [0] * 4, [0] * 8
    thrice = compare(answers(one, one, one), answers(other, other, other))
    assert thrice.p == pytest.approx(stats.ttest_1samp(one, 0).pvalue)


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
    ranks = {label: (row.standing.rank.low, row.standing.rank.high) for label, row in rows.items()}
    assert ranks == {"corda": (1, 1), "lora": (2, 3), "dora": (2, 3), "pissa": (4, 4)}


def test_the_difference_is_the_difference_of_the_means(tmp_path):
    frame = leaderboard_frame(board_of(tmp_path, grid())).set_index("method")
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
    board = board_of(tmp_path, grid(methods={"dora": 0.9, "corda": 0.4}))
    assert board.sections[0].reference == ""
    assert [row.standing.comparisons for row in board.rows] == [{}, {}]
    assert [row.standing.rank.low for row in board.rows] == [1, 2]


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_one_and_two_seeds_have_no_ranks_and_no_p(tmp_path, seeds):
    board = board_of(tmp_path, grid(seeds=seeds))
    assert board.sections[0].ranked == {}
    assert all(row.standing.rank is None for row in board.rows)
    frame = leaderboard_frame(board).set_index("method")
    assert frame.loc["corda", "reliability_difference"] > 0.2
    assert frame[[c for c in frame if c.endswith(("_p", "_p_holm"))]].isna().all(axis=None)


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
