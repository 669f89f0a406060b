"""Cells that are run together: the numbers, claims, records and failures of cells run alone."""

from __future__ import annotations

import pytest
import torch

from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.progress.base import Silent
from bench.store.records import PhaseName, Status
from bench.store.store import ResultsStore

METHODS = "lora[r=4],dora[r=4],pissa[r=4],corda[r=4]"
TASK = "fictional[n=40,seed=1]"


@pytest.fixture
def options_for(tiny_folder, facts_file, tmp_path):
    def build(name="", **changes):
        given = {
            "methods": METHODS,
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "seeds": "0,1",
            "forgetting": f"{TASK},drift",
            "forgetting_limit": 4,
            "epochs": 3,
            "batch_size": 4,
            "device": "cpu",
            "checkpoints": "drift",
            "out": tmp_path / name,
        }
        return build_options({**given, **changes})

    return build


def run(options):
    """Run a grid; return its records by cell, and the rows of facts."""
    outcome = run_grid(options, Silent())
    store = ResultsStore(options.out)
    records = {record.cell_id: record for record in outcome.records}
    return records, {cell: store.rows(cell) for cell in records}


def test_a_grid_run_together_has_the_numbers_of_cells_run_alone(options_for):
    alone, alone_rows = run(options_for("alone", stack=1))
    together, rows = run(options_for("together", stack=8))
    assert alone.keys() == together.keys()
    assert len(alone) == 8
    for cell_id, one in alone.items():
        other = together[cell_id]
        assert one.status is Status.DONE, one.reason
        assert other.status is Status.DONE, other.reason
        assert (one.stacked, other.stacked) == (1, 8)
        assert set(other.phases) == set(PhaseName)
        losses = torch.tensor([[e.loss for e in found.curve] for found in (one, other)])
        torch.testing.assert_close(losses[1], losses[0], rtol=1e-4, atol=1e-6)
        measured = [found.metrics.model_dump() for found in (one, other)]
        assert measured[1] == pytest.approx(measured[0], rel=1e-3, abs=1e-5, nan_ok=True)
        for mine, theirs in zip(one.forgetting, other.forgetting, strict=True):
            assert theirs.task == mine.task
            assert theirs.tuned_items == pytest.approx(mine.tuned_items, rel=1e-3, abs=1e-6)
        for mine, theirs in zip(one.path, other.path, strict=True):
            assert theirs.epoch == mine.epoch
            assert theirs.drift == pytest.approx(mine.drift, rel=1e-3, abs=1e-6)
            assert theirs.forgetting == pytest.approx(mine.forgetting)
        assert rows[cell_id]["answer_after"].equals(alone_rows[cell_id]["answer_after"])
