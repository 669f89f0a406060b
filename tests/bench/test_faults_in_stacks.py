"""What goes wrong where cells run together costs no cell its record."""

from __future__ import annotations

import time

import pytest
import torch

from bench import failures, runner
from bench.cell import together
from bench.cell.together import StackedCells
from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.progress.base import Silent
from bench.store.records import Status

ERRORS = [torch.OutOfMemoryError("no more"), ValueError("odd")]


@pytest.fixture
def options_for(tiny_folder, facts_file, tmp_path):
    """Build the options of two cells that are run together."""

    def build(**changes):
        given = {
            "methods": "lora[r=2]",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "seeds": "0,1",
            "forgetting": "drift",
            "forgetting_limit": 2,
            "epochs": 2,
            "batch_size": 4,
            "device": "cpu",
            "checkpoints": "drift",
            "stack": 4,
            "out": tmp_path / "results",
        }
        return build_options({**given, **changes})

    return build


def fail_first(monkeypatch, where, name, error):
    """Let the first call of something raise; return a list that grows with each call."""
    called, true = [], getattr(where, name)

    def failing(*args, **given):
        called.append(name)
        if len(called) == 1:
            raise error
        return true(*args, **given)

    monkeypatch.setattr(where, name, failing)
    return called


@pytest.mark.parametrize("error", ERRORS, ids=["memory", "other"])
@pytest.mark.parametrize("name", ["stack_models", "train_together", "measure_paths_together"])
def test_a_stack_that_fails_is_run_in_smaller_ones(options_for, monkeypatch, name, error):
    called = fail_first(monkeypatch, together, name, error)
    records = run_grid(options_for(), Silent()).records
    assert called
    assert [record.status for record in records] == [Status.DONE] * 2
    assert [(record.stacked, record.micro_batches) for record in records] == [(1, 1)] * 2


@pytest.mark.parametrize("error", ERRORS, ids=["memory", "other"])
@pytest.mark.parametrize("name", ["evaluate", "forget"])
def test_cells_that_cannot_be_asked_keep_what_they_trained(options_for, monkeypatch, name, error):
    true, trained = together.train_together, []

    def counted(*given):
        trained.append(given)
        return true(*given)

    monkeypatch.setattr(together, "train_together", counted)
    fail_first(monkeypatch, StackedCells, name, error)
    records = run_grid(options_for(), Silent()).records
    assert [(record.status, record.stacked) for record in records] == [(Status.DONE, 2)] * 2
    assert len(trained) == 1


def test_after_ctrl_c_no_other_group_is_measured(options_for, facts_file, tmp_path, monkeypatch):
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("\n".join(facts_file.read_text().splitlines()[:4]))
    asked = fail_first(monkeypatch, StackedCells, "evaluate", KeyboardInterrupt())
    outcome = run_grid(options_for(tasks=f"{facts_file},{fewer}"), Silent())
    assert (len(asked), outcome.interrupted, outcome.ran) == (1, True, 0)
    assert [record.status for record in outcome.records] == [Status.INTERRUPTED] * 4


def test_a_limit_counts_the_time_that_ended_it():
    limit = runner._Limit(0.1, 1)
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(failures.CellTimeoutError), limit.running():
            time.sleep(1)
    assert time.monotonic() - started < 0.1
