"""Checkpoints: what they measure, what they cost, and that a training does not notice them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.cell import phases
from bench.config.options import Rerun, build_options
from bench.config.types import Checkpoints
from bench.execution.run import run_grid
from bench.forgetting import drift
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import CellState
from bench.progress.base import Silent
from bench.store.records import PhaseName, Status
from bench.store.store import ResultsStore


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(drift, "TOKENS", 6)


@pytest.fixture
def options(tiny_folder, facts_file, tmp_path):
    """Options of a run of three epochs; `seen` runs it and returns its record."""

    def make(**changes):
        given = {
            "methods": "lora[r=4]",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "drift",
            "forgetting_limit": 8,
            "epochs": 3,
            "batch_size": 4,
            "lr": 1e-2,
            "device": "cpu",
            "out": tmp_path / "results",
        }
        return build_options({**given, **changes})

    return make


def run(options):
    [record] = run_grid(options, Silent()).records
    assert record.status is Status.DONE, record.traceback or record.reason
    return record


def test_each_epoch_is_a_point_and_the_last_is_the_cell_itself(options):
    record = run(options())
    assert [point.epoch for point in record.path] == [1, 2, 3]
    assert all(point.drift > 0 and not point.forgetting for point in record.path)
    whole = next(found for found in record.forgetting if found.task == "drift")
    first = whole.tuned_items[: drift.CHECKPOINT_SEQUENCES]
    assert record.path[-1].drift == pytest.approx(sum(first) / len(first))


def test_a_point_is_what_a_training_of_so_many_epochs_drifts(options):
    """At a constant rate without warm-up a longer training begins like a shorter one."""
    shape = {"schedule": "constant", "warmup": 0.0}
    whole = run(options(**shape))
    for epochs in (1, 2):
        part = run(options(**shape, epochs=epochs))
        assert part.path[-1].drift == pytest.approx(whole.path[epochs - 1].drift, rel=1e-4)


def test_all_tasks_are_measured_at_every_point_if_asked(options):
    both = {"forgetting": "elements,drift", "forgetting_limit": 4, "epochs": 2}
    record = run(options(checkpoints="all", **both))
    assert [set(point.forgetting) for point in record.path] == [{"elements"}] * 2
    elements = next(found for found in record.forgetting if found.task == "elements")
    assert record.path[-1].forgetting == {"elements": elements.forgetting}


def test_checkpoints_change_no_number_of_the_cell(options, tmp_path):
    records = [
        run(options(checkpoints=each, out=tmp_path / each, methods="lora[r=4]"))
        for each in Checkpoints
    ]
    first, *others = records
    for other in others:
        assert other.cell_id == first.cell_id, "they are no part of its identity"
        assert without_path(other.metrics) == without_path(first.metrics)
        assert other.curve == first.curve
        assert other.forgetting == first.forgetting
    assert [len(record.path) for record in records] == [3, 3, 0]
    assert all(first.metrics.drift_at_50 == each.metrics.drift_at_50 for each in records[:2])


def without_path(metrics):
    return metrics.model_dump(exclude={"drift_at_50", "drift_at_90"})


def test_their_time_is_forgetting_and_not_training(options, monkeypatch):
    """By a clock on which nothing else takes any time."""
    now = [0.0]
    plain = drift.Drift.at_checkpoint_together

    def slow(self, base, model):
        now[0] += 1.0
        return plain(self, base, model)

    monkeypatch.setattr(drift.Drift, "at_checkpoint_together", slow)
    monkeypatch.setattr(phases, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    spent = run(options()).phases
    assert (spent[PhaseName.FORGET].seconds, spent[PhaseName.TRAIN].seconds) == (2.0, 0.0)


@pytest.mark.parametrize(
    ("before", "after", "lacks"),
    [("last", "drift", True), ("drift", "all", True), ("all", "last", False)],
)
def test_a_cell_without_the_checkpoints_asked_for_runs_again(options, before, after, lacks):
    both = {"forgetting": "elements,drift", "forgetting_limit": 2, "epochs": 1}
    run(options(checkpoints=before, **both))
    wanted = options(checkpoints=after, **both)
    [cell] = plan_grid(wanted, ResultsStore(wanted.out))
    assert (cell.state, cell.why) == (
        (CellState.LACKS, "checkpoints") if lacks else (CellState.DONE, "")
    )
    assert wanted.rerun is Rerun.MISSING
    assert run_grid(wanted, Silent()).ran == int(lacks)
    [cell] = plan_grid(wanted, ResultsStore(wanted.out))
    assert cell.state is CellState.DONE


def test_without_drift_there_is_no_path_unless_every_task_is_asked(options):
    few = {"forgetting_limit": 2, "epochs": 1}
    assert run(options(forgetting="elements", **few)).path == []
    assert run(options(forgetting="none", checkpoints="all", **few)).path == []


def test_what_an_earlier_run_measured_on_the_way_is_kept(options):
    first = run(options())
    more = {"forgetting": "elements", "forgetting_limit": 2}
    second = run(options(**more))
    assert second.cell_id == first.cell_id
    assert second.path == first.path
    assert second.metrics.drift_at_50 == first.metrics.drift_at_50
    third = run(options(**more, checkpoints="all"))
    assert [point.drift for point in third.path] == [point.drift for point in first.path]
    assert [set(point.forgetting) for point in third.path] == [{"elements"}] * 3
