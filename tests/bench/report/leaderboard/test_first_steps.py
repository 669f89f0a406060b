"""Rows that start from different first steps are never one row, and say what they start from."""

from __future__ import annotations

import pytest

from bench.report.leaderboard.load import load_leaderboard
from bench.report.show import show_cell
from bench.report.tables.csv import leaderboard_frame
from bench.store.records import After
from bench.store.store import ResultsStore
from methods.two_steps.mode import StepMode
from tests.bench.report_cells import fill, make_cell


def after(mode=StepMode.FROZEN, method="lora", setting="a" * 16, cell="c" * 16):
    return After(
        cell=cell, mode=mode, task="handbook.txt", method=method, setting=setting, version=1
    )


STEPS = {
    "lora (after handbook.txt, frozen, first step aaaaaaaa)": after(),
    "lora (after handbook.txt, frozen, first step bbbbbbbb)": after(setting="b" * 16),
    "lora (after handbook.txt, merged)": after(StepMode.MERGED),
    "lora (after handbook.txt by dora, frozen)": after(method="dora"),
    "lora": None,
}


@pytest.fixture
def folder(tmp_path):
    """Two seeds of each step, each with a first cell of its own."""
    cells = []
    for number, step in enumerate(STEPS.values()):
        for seed in (0, 1):
            own = step and step.model_copy(update={"cell": f"{number}{seed}".rjust(16, "0")})
            cells.append(make_cell(8, spec={"seed": seed, "after": own}))
    return fill(tmp_path, cells)


def test_seeds_with_the_same_first_step_are_one_row_and_no_others(folder):
    [section] = load_leaderboard(folder).sections
    rows = {row.label: row for row in section.rows}
    assert all(row.seeds == (0, 1) for row in rows.values())
    assert len(rows) == len(STEPS)
    for label, row in rows.items():
        assert "first step" not in label or row.spec.after.setting[:8] in label
        assert (row.spec.after is None) == (label == "lora")
        assert row.spec.started in label
    assert section.reference == "lora", "what has no first step is what others are compared with"


def test_the_step_is_said_even_where_all_rows_have_the_same(tmp_path):
    fill(tmp_path, [make_cell(8, spec={"after": after()})])
    [row] = load_leaderboard(tmp_path).rows
    assert row.label == "lora (after handbook.txt, frozen)"


def test_a_table_for_computing_has_a_column_for_the_step_where_there_is_one(folder, tmp_path):
    frame = leaderboard_frame(load_leaderboard(folder))
    assert list(frame.columns[:4]) == ["model", "task", "method", "after"]
    assert set(frame["after"]) == {step.told if step else "" for step in STEPS.values()}
    plain = fill(tmp_path / "plain", [make_cell(8)])
    assert "after" not in leaderboard_frame(load_leaderboard(plain)).columns


def test_a_cell_names_the_cell_that_it_starts_from(folder):
    record = next(r for r in ResultsStore(folder).records().records if r.spec.after)
    assert record.spec.after.cell in show_cell(folder, record.cell_id, width=200)
