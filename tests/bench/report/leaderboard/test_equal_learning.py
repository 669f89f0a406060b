"""Costs at equal learning of rows: from their paths, missing where these do not get there."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from bench.report.leaderboard.equal_learning import learning_path
from bench.report.leaderboard.load import load_leaderboard
from bench.report.statistics.comparison import Verdict
from bench.report.tables.csv import leaderboard_frame
from bench.report.tables.markdown import leaderboard_markdown
from tests.bench.report.leaderboard.test_half_dose import learned
from tests.bench.report_cells import fill, make_cell, make_path

SEEDS = (0, 1, 2)
EVEN = [1, 2, 3, 4, 5, 6, 7, 8]


def board_of(folder, *cells):
    return load_leaderboard(fill(folder, cells))


def cells_of(method, drift, epochs=EVEN, seeds=SEEDS, task="", **changes):
    return [
        learned(
            make_cell(
                n=64,
                known=0.0,
                drift=drift,
                spec={"method": method, "seed": seed},
                path=make_path(drift * (1 + 0.01 * seed), 8, task),
                **changes,
            ),
            epochs,
        )
        for seed in seeds
    ]


def test_drift_is_that_of_the_epoch_at_which_the_share_was_learned(tmp_path):
    board = board_of(tmp_path, *cells_of("lora", 0.8, seeds=(0,)))
    (row,) = board.rows
    # An eighth of the facts is learned in each of 8 epochs: 50% after the 4th, 90% after 7.2.
    assert row.metrics["drift_at_50"].value == pytest.approx(0.4)
    assert row.metrics["drift_at_90"].value == pytest.approx(0.72)
    frame = leaderboard_frame(board).iloc[0]
    assert frame["drift_at_90"] == pytest.approx(0.72)
    assert frame["drift_at_50_low"] <= 0.4 <= frame["drift_at_50_high"]


def test_a_row_that_does_not_learn_enough_has_none(tmp_path):
    board = board_of(tmp_path, *cells_of("lora", 0.8, epochs=[1, 2, 3, 9]))
    (row,) = board.rows
    assert row.metrics["drift_at_50"] is not None
    assert row.metrics["drift_at_90"] is None
    assert pd.isna(leaderboard_frame(board).iloc[0]["drift_at_90"])
    assert "90% learned" not in leaderboard_markdown(board).split("### Cost")[0]


def test_rows_are_compared_by_the_ratio_of_their_drift(tmp_path):
    board = board_of(tmp_path, *cells_of("lora", 0.8), *cells_of("calm", 0.4))
    calm = next(row for row in board.rows if row.label == "calm")
    found = calm.standing.comparisons["drift_at_90"]
    assert found.difference.value == pytest.approx(math.log(0.5))
    assert found.verdict is Verdict.BETTER
    frame = leaderboard_frame(board).set_index("method")
    assert frame.loc["calm", "drift_at_90_ratio"] == pytest.approx(0.5)
    assert "drift_at_90_difference" not in frame
    line = next(x for x in leaderboard_markdown(board).splitlines() if x.startswith("| calm"))
    assert line.split("|")[-3].strip().endswith("▲")


def test_forgetting_is_there_where_every_checkpoint_measured_it(tmp_path):
    board = board_of(tmp_path, *cells_of("lora", 0.8, seeds=(0,), task="elements"))
    (row,) = board.rows
    assert row.metrics["forgetting_at_50.elements"].value == pytest.approx(0.05)
    frame = leaderboard_frame(board).iloc[0]
    assert frame["forgetting_at_90.elements"] == pytest.approx(0.09)
    assert "forgets elements, 90% learned (points)" in leaderboard_markdown(board)


def test_without_a_path_nothing_is_said(tmp_path):
    (record, rows), *_ = cells_of("lora", 0.8, seeds=(0,))
    board = board_of(tmp_path, (record.model_copy(update={"path": []}), rows))
    assert learning_path(board.rows[0], "drift") is None
    assert leaderboard_frame(board)[["drift_at_90", "drift_at_50"]].isna().all(axis=None)


def test_seeds_that_trained_other_facts_have_no_common_curve(tmp_path):
    cells = [
        *cells_of("lora", 0.8, epochs=[1, 2, 3, None], seeds=(0,)),
        *cells_of("lora", 0.8, epochs=[None, 1, 2, 3], seeds=(1,)),
    ]
    (row,) = board_of(tmp_path, *cells).rows
    assert row.metrics.get("drift_at_50") is None
