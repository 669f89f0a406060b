"""Files in the formats that people have are planned, trained and scored as they are."""

from __future__ import annotations

import pytest

from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.runner import run_cell
from bench.store.records import Status
from bench.store.store import ResultsStore
from tests.tasks.published import COLOURS, FORMS, write_form


@pytest.mark.parametrize("name", FORMS)
def test_a_published_form_is_trained(tiny_folder, tmp_path, name):
    path = write_form(tmp_path, name)
    options = build_options(
        {
            "methods": "lora[r=4]",
            "tasks": str(path),
            "models": str(tiny_folder),
            "forgetting": "none",
            "epochs": 1,
            "batch_size": 2,
            "device": "cpu",
            "out": tmp_path / "out",
        }
    )
    [cell] = plan_grid(options, ResultsStore(options.out))
    result = run_cell(cell, CellContext(options, Compute("cpu", "float32"), print), Silent())
    assert result.record.status is Status.DONE, result.record.reason
    assert sorted(row.target for row in result.rows) == sorted(COLOURS)
    assert len(result.record.curve) == 1
    updates = {"counterfact", "zsre", "zsre of mend", "knowedit", "easyedit"}
    updates |= {"mquake", "mquake remastered"}
    assert bool(result.rows[0].old_answers) == (name in updates)
