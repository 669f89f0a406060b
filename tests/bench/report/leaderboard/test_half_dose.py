"""The half dose: whose it is, who counts, and that its share is compared like any other."""

from __future__ import annotations

import numpy as np
import pytest

from bench.report.leaderboard.half_dose import AT_HALF_DOSE, EPOCHS_UNKNOWN, half_dose
from bench.report.leaderboard.load import load_leaderboard
from bench.report.statistics.comparison import Verdict
from bench.report.statistics.intervals import IntervalKind
from bench.report.tables.csv import leaderboard_frame
from bench.report.tables.markdown import leaderboard_markdown
from tests.bench.report_cells import fill, make_cell, metrics_of


def board_of(folder, *cells):
    return load_leaderboard(fill(folder, cells))


def learned(cell, epochs):
    """Change after how many epochs a cell's facts were learned, one after the other in turn."""
    record, rows = cell
    rows = [
        row.model_copy(update={"epochs_to_learn": epochs[i % len(epochs)]})
        for i, row in enumerate(rows)
    ]
    return record.model_copy(update={"metrics": metrics_of(rows)}), rows


def methods(seeds=(0,), **epochs):
    return [
        learned(make_cell(n=40, known=0.0, spec={"method": m, "seed": s}), values)
        for m, values in epochs.items()
        for s in seeds
    ]


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [([1, 1, 5, 5], 1), ([2, 4, 6, 8], 4), ([0, 0, 9, 9], 1), ([7, 9, 9, 9], None)],
)
def test_it_is_the_first_epoch_after_which_half_is_learned(tmp_path, epochs, expected):
    (section,) = board_of(tmp_path, *methods(lora=epochs)).sections
    assert section.half_dose == expected
    assert half_dose(section.rows[0].cells) == expected
    share = section.rows[0].metrics[AT_HALF_DOSE]
    assert (share and share.value) == (expected and np.mean(np.array(epochs) <= expected))


def test_it_is_the_mean_over_seeds_that_reaches_half(tmp_path):
    cells = [
        learned(make_cell(n=40, known=0.0, spec={"seed": 0}), [2, 2, 2, 5]),
        learned(make_cell(n=40, known=0.0, spec={"seed": 1}), [2, 5, 5, 5]),
    ]
    assert board_of(tmp_path, *cells).sections[0].half_dose == 2


def test_the_reference_sets_it_for_all_rows(tmp_path):
    cells = methods(lora=[3, 3, 6, 6], fast=[1, 1, 1, 2], slow=[4, 5, 6, 7])
    board = board_of(tmp_path, *cells)
    assert board.sections[0].half_dose == 3
    shares = {row.label: row.metrics[AT_HALF_DOSE].value for row in board.rows}
    assert shares == {"lora": 0.5, "fast": 1.0, "slow": 0.0}
    frame = leaderboard_frame(board).set_index("method")
    assert set(frame["half_dose"]) == {3}
    assert frame.loc["lora", "learned_at_half_dose"] == 0.5
    low, high = frame.loc["lora", ["learned_at_half_dose_low", "learned_at_half_dose_high"]]
    assert low < 0.5 < high


def test_only_facts_that_the_base_did_not_answer_count(tmp_path):
    record, rows = make_cell(n=40, known=0.5)
    rows = [
        row.model_copy(update={"epochs_to_learn": 1 if row.correct_before else 4}) for row in rows
    ]
    record = record.model_copy(update={"metrics": metrics_of(rows)})
    (section,) = board_of(tmp_path, (record, rows)).sections
    assert section.half_dose == 4


def test_its_share_is_compared_and_marked_from_three_seeds_on(tmp_path):
    seeds = (0, 1, 2)
    cells = methods(seeds, lora=[3, 3, 6, 6], fast=[1, 1, 1, 2])
    fast = next(row for row in board_of(tmp_path, *cells).rows if row.label == "fast")
    found = fast.standing.comparisons[AT_HALF_DOSE]
    assert found.difference.value == pytest.approx(0.5)
    assert found.verdict is Verdict.BETTER
    text = leaderboard_markdown(load_leaderboard(tmp_path))
    assert "learned after 3 epochs, unknown facts (%)" in text
    first = next(line for line in text.splitlines() if line.startswith("| method"))
    headers = [name.strip() for name in first.split("|")]
    assert headers[3].startswith("epochs to learn")
    assert headers[4].startswith("learned after 3 epochs")


def test_rows_that_filter_are_compared_on_the_facts_that_both_trained(tmp_path):
    seeds = (0, 1, 2)
    cells = methods(seeds, lora=[2, 4], other=[1, None, 3, 3])
    board = board_of(tmp_path, *cells)
    rows = {row.label: row for row in board.rows}
    assert rows["other"].metrics[EPOCHS_UNKNOWN].items == 30
    found = rows["other"].standing.comparisons[EPOCHS_UNKNOWN]
    assert found.difference.items == 30
    # The reference learned the facts that were left out after 4 epochs: 8 / 3 is of the others.
    assert found.difference.value == pytest.approx((1 - 2 + 3 - 2 + 3 - 4) / 3)
    assert "on the 30 facts that both trained, of 40" in leaderboard_markdown(board)


def test_rows_that_trained_equally_many_but_other_facts_are_paired_by_fact(tmp_path):
    seeds = (0, 1, 2)
    cells = methods(seeds, lora=[2, None, 2, 2], other=[None, 5, 3, 3])
    rows = {row.label: row for row in board_of(tmp_path, *cells).rows}
    found = rows["other"].standing.comparisons[EPOCHS_UNKNOWN]
    assert found.difference.items == 20
    assert found.difference.value == pytest.approx(1.0)


def test_as_many_facts_of_other_seeds_are_not_taken_for_the_same(tmp_path):
    cells = []
    for seed in range(3):
        record, rows = learned(make_cell(n=40, known=0.0, spec={"seed": seed}), [1, 5])
        rows = [
            row.model_copy(update={"epochs_to_learn": None}) if i < 20 + seed and i >= seed else row
            for i, row in enumerate(rows)
        ]
        cells.append((record.model_copy(update={"metrics": metrics_of(rows)}), rows))
    (row,) = board_of(tmp_path, *cells).rows
    share = row.metrics[AT_HALF_DOSE]
    assert share.items == 20
    assert share.interval.kind is IntervalKind.SEEDS
