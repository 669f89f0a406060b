"""What is logged of a cell: the numbers of the report, under its names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.report.leaderboard.equal_learning import learned_curve, learning_path
from bench.report.leaderboard.load import load_leaderboard
from bench.report.tables.csv import leaderboard_frame
from bench.store.records import Evaluated, Status
from bench.store.store import ResultsStore
from bench.trackers.numbers import FACT_COLUMNS
from bench.trackers.tracked_run import tracked_run
from tests.bench.report_cells import (
    failed_cell,
    fill,
    make_cell,
    make_change,
    make_drift,
    make_forgetting,
)


def tracked(folder):
    store = ResultsStore(folder)
    return [
        tracked_run(record, store.fact_table(record.cell_id, FACT_COLUMNS))
        for record in store.records().records
    ]


@pytest.fixture
def rich(tmp_path):
    """A folder of one cell with everything that a cell can measure."""
    learned = Evaluated(
        task="gsm8k",
        metric="exact_match",
        base=0.1,
        tuned=0.4,
        base_items=[0.0] * 9 + [1.0],
        tuned_items=[0.0] * 6 + [1.0] * 4,
        limit=10,
        digest="g" * 64,
    )
    lost = [make_forgetting(), make_forgetting("lm_eval:piqa", at_floor=True), make_drift()]
    cell = make_cell(updates=8, forgetting=lost, evaluated=[learned], change=make_change())
    return fill(tmp_path, [cell])


def test_final_numbers_are_those_of_the_leaderboard_under_its_names(rich):
    [run] = tracked(rich)
    line = leaderboard_frame(load_leaderboard(rich)).iloc[0]
    assert {*run.metrics} <= {*line.index}
    for name, value in run.metrics.items():
        assert value == pytest.approx(float(line[name])), name
    assert "forgetting.lm_eval:piqa" not in run.metrics
    assert pd.isna(line["forgetting.lm_eval:piqa"])
    left_out = {"drift_at_90", "drift_at_50", "stacked"}  # of the path, which needs all of a row
    leading = [*line.index[: line.index.get_loc("stacked")]]
    numbers = {n for n in leading if isinstance(line[n], float | int | np.number)}
    numbers = {n for n in numbers if not pd.isna(line[n]) and not n.endswith(("_low", "_high"))}
    assert numbers - {*run.metrics} - left_out <= {"seeds", "facts", "learned_at_half_dose"}


def test_the_learned_share_by_epoch_is_that_of_the_plot_of_paths(rich):
    [run] = tracked(rich)
    [row] = load_leaderboard(rich).rows
    path = learning_path(row, "drift").from_start
    [shares] = learned_curve(path)
    assert run.curves["epoch/learned_unknown"] == pytest.approx(dict(enumerate(shares)))
    [cost] = path.costs
    assert {0: 0.0, **run.curves["epoch/drift"]} == pytest.approx(dict(enumerate(cost)))


def test_a_recipe_is_taken_apart_into_its_parameters(tmp_path):
    recipe = "corda[mode=ipm,r=32,rho=0.5]+freeze[share=0.5]"
    [run] = tracked(fill(tmp_path, [make_cell(spec={"recipe": recipe, "method": "corda"})]))
    parts = {k: v for k, v in run.config.items() if k.partition(".")[0] in ("corda", "freeze")}
    assert parts == {"corda.mode": "ipm", "corda.r": 32, "corda.rho": 0.5, "freeze.share": 0.5}


def test_runs_that_differ_in_their_seeds_alone_share_a_group(tmp_path):
    specs = [{"seed": 0}, {"seed": 1}, {"seed": 0, "learning_rate": 1e-5}]
    runs = tracked(fill(tmp_path, [make_cell(n=12, spec=spec) for spec in specs]))
    assert len({run.group for run in runs}) == 2
    assert len({run.folders[:2] for run in runs}) == 2
    assert len({run.folders for run in runs}) == len({run.name for run in runs}) == 3
    assert len({run.digest for run in runs}) == 3


def test_a_cell_that_failed_says_so_and_has_no_numbers_it_lacks(tmp_path):
    [run] = tracked(fill(tmp_path, [failed_cell("out of memory\x1b[31m at step 3")]))
    assert (run.status, run.curves, run.metrics) == (Status.OUT_OF_MEMORY, {}, {})
    assert run.reason == "out of memory\\x1b[31m at step 3"


def test_notes_of_every_layer_and_numbers_that_are_not_finite_stay_in_the_record(tmp_path):
    notes = {"kept": 3, "condition": {"model.layers.0": 5.0}, "layers": [1, 2], "rate": "1.5"}
    record, rows = make_cell(n=12, notes=notes)
    curve = [record.curve[0].model_copy(update={"loss": None}), *record.curve[1:]]
    [run] = tracked(fill(tmp_path, [(record.model_copy(update={"curve": curve}), rows)]))
    found = {k: v for k, v in run.provenance.items() if k.startswith("notes")}
    assert found == {"notes.kept": 3, "notes.rate": "1.5"}
    assert min(run.curves["epoch/loss"]) == 2
