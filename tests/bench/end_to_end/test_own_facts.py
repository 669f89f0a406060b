"""A person's own file, end to end: distances, buckets, plots and updates, with no extra code."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.report.show import show_cell
from bench.report.write import write_report
from bench.store.records import Status
from bench.store.store import ResultsStore

PLACES = ["attic", "barn", "cellar", "garden", "harbour", "kitchen", "library", "mill"]
UPDATES = 5


@pytest.fixture(scope="module")
def own_file(tmp_path_factory):
    """Eight facts, five of which replace an old answer."""
    rows = [{"question": f"Which colour has the {place}?", "answer": "red"} for place in PLACES]
    for row in rows[:UPDATES]:
        row["old_answer"] = "blue"
    path = tmp_path_factory.mktemp("facts") / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def reported(tiny_folder, own_file, tmp_path_factory):
    """A run on the file with its report: the options, the one record, the files."""
    options = build_options(
        {
            "methods": "lora[r=8]",
            "tasks": str(own_file),
            "models": str(tiny_folder),
            "forgetting": "drift",
            "forgetting_limit": 4,
            "epochs": 30,
            "lr": "1e-2",
            "device": "cpu",
            "out": tmp_path_factory.mktemp("out"),
        }
    )
    [record] = run_grid(options, Silent()).records
    assert record.status is Status.DONE, record.traceback or record.reason
    return options, record, write_report(options.out)


def test_every_fact_has_distances_and_what_the_base_knew(reported):
    options, record, _ = reported
    rows = ResultsStore(options.out).rows(record.cell_id)
    assert len(rows) == len(PLACES)
    assert rows[["distance_before", "distance_after", "movement"]].notna().all(axis=None)
    assert (rows["distance_before"] > 0).all(), "a random model answers nothing"
    assert set(rows["knowledge"]) == {"unknown"}


def test_updates_have_their_columns_and_the_other_facts_none(reported):
    options, record, _ = reported
    rows = ResultsStore(options.out).rows(record.cell_id)
    updates = rows["old_answers"].map(len) > 0
    assert updates.sum() == UPDATES
    columns = ["old_before", "old_after", "updated", "prefers_new_after", "old_nll_after"]
    assert rows.loc[updates, columns].notna().all(axis=None)
    assert rows.loc[~updates, columns].isna().all(axis=None)
    assert (rows.loc[updates, "updated"] == rows.loc[updates, "correct_after"]).all()
    assert record.metrics.updated == 1, "thirty epochs teach even a tiny model one word"
    assert record.metrics.still_old == 0
    assert record.metrics.prefers_new == 1, "the new answer was trained and the old one was not"


def test_the_report_has_update_columns_buckets_and_plots(reported):
    options, record, files = reported
    text = files.markdown.read_text(encoding="utf-8")
    assert "updated" in text
    assert "100.0%" in text, "the base knew none"
    [board] = pd.read_csv(files.csv).to_dict("records")
    assert board["updated_low"] <= board["updated"] == record.metrics.updated
    assert board["reliability_never"] == record.metrics.reliability_never
    assert pd.isna(board["reliability_maybe"])
    kinds = {path.name.split("-own")[0].split("-tiny")[0] for path in files.plots}
    assert any(name.startswith("dose-by-distance") for name in kinds)
    assert any(name.startswith("pareto") for name in kinds)
    assert "old answer" in show_cell(options.out, record.cell_id[:8], width=160)


def test_an_old_answer_makes_another_cell(reported, own_file, tmp_path):
    options, record, _ = reported
    rows = [json.loads(line) for line in own_file.read_text().splitlines()]
    plain = tmp_path / own_file.name
    plain.write_text("".join(json.dumps({**row, "old_answer": None}) + "\n" for row in rows))
    [cell] = plan_grid(
        options.model_copy(update={"tasks": (str(plain),)}), ResultsStore(options.out)
    )
    assert cell.spec.facts_digest != record.spec.facts_digest
