"""Whole cells of semantic recipes on the two-layer model."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.options import build_options
from bench.progress import Silent
from bench.records import Status
from bench.runner import run_grid

RECIPES = (
    "lora,freeze,filter,lora+random_filter,lora+drop[side=far],reweight,lora+filter+reweight,"
    "dora+freeze,corda+reweight,full+freeze,lora+random_cut"
)


@pytest.fixture
def run(tiny_folder, facts_file, tmp_path):
    """Run recipes and return their records and rows, by name."""

    def start(methods, **changes):
        given = {
            "methods": methods,
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "none",
            "epochs": 2,
            "batch_size": 4,
            "device": "cpu",
            "out": tmp_path,
        }
        records = run_grid(build_options({**given, **changes}), Silent()).records
        return {r.spec.method: r for r in records}

    return start


def test_every_semantic_recipe_runs_to_the_end(run):
    records = run(RECIPES)
    for record in records.values():
        assert record.status is Status.DONE, record.traceback or record.reason
    assert len(records) == 11
