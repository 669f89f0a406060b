"""The pre-registration: its tables are the computed ones, and its grids can be planned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.config.options import build_options
from bench.pages.findings.design import (
    PAGE,
    correlation_power,
    decided,
    with_tables,
)
from bench.pages.findings.planned import BUDGET, GRIDS, PLANNED, PlannedUnit
from bench.pages.findings.verdict import LEAST_SEEDS
from bench.planning.grid import plan_grid
from bench.store.store import ResultsStore
from tasks.errors import UsageError

FILES = sorted(Path("configs/findings").glob("*.yaml"))
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_holds_the_computed_tables():
    assert with_tables(TEXT) == TEXT, "run python -m bench.pages.findings.design"


def test_a_page_without_a_marker_is_told():
    with pytest.raises(UsageError, match="begin power"):
        with_tables("# Design\n")


def test_six_questions_can_be_decided_either_way_at_effects_that_are_small_enough():
    assert decided() >= 6
    for claim in PLANNED:
        most = {PlannedUnit.POINTS: 5.0, PlannedUnit.EPOCHS: 0.5}.get(claim.unit)
        assert most is None or claim.counts <= most
        assert 0 < claim.bar < claim.counts
        assert claim.layout.seeds >= LEAST_SEEDS


def test_more_methods_tell_more_about_a_correlation():
    few, many = (correlation_power(0.9, 0.6, n) for n in (8, 40))
    assert few.no < many.no
    assert many.yes > 0.99


def test_every_grid_is_counted_and_described_and_what_is_counted_exists():
    names = {grid.name for grid in GRIDS}
    assert names == {path.stem for path in FILES} | {"study interference"}
    for path in FILES:
        assert path.stem in TEXT
        assert path.read_text(encoding="utf-8").startswith("# Question")


def test_the_budget_is_kept_or_what_is_beyond_it_is_marked():
    total = sum(grid.minutes for grid in GRIDS) / 60
    assert ("(beyond)" in TEXT) is (total > BUDGET)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_grid_can_be_planned_and_has_the_cells_that_are_counted(path, tmp_path):
    cells = plan_grid(build_options({"out": tmp_path}, path), ResultsStore(tmp_path))
    [counted] = {g.reported: g for g in GRIDS if g.name == path.stem}.values()
    tuning = [cell for cell in cells if cell.spec.seed >= 1000]
    assert (len(cells) - len(tuning), len(tuning)) == (counted.reported, counted.tried)
    assert {cell.spec.facts for cell in cells if cell not in tuning} == {counted.facts}
    assert {cell.spec.epochs for cell in cells} == {counted.epochs}
    assert {cell.spec.schedule for cell in cells} == {"constant"}
    [said] = re.findall(r"about (\d+)\s+(?:#\s+)?core-minutes", path.read_text(encoding="utf-8"))
    minutes = [grid.minutes for grid in GRIDS if grid.name == path.stem]
    assert int(said) == pytest.approx(minutes[0], abs=4), "the comment and the table"
