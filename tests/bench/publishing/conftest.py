"""Cells of a small grid whose adapters are saved, by methods that save differently."""

from __future__ import annotations

import json
from functools import partial

import pytest

from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.progress.base import Silent
from bench.publishing.saved import SavedAdapter

METHODS = "lora[r=4],pissa[r=4],dora[r=4],rslora[r=4,alpha=8],kasa[r=2],osf,full"


@pytest.fixture(scope="session")
def prompt_config(tmp_path_factory):
    """PEFT's configuration of a prompt, which has no weights to merge."""
    folder = tmp_path_factory.mktemp("prompt")
    config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 3}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def small(models, tasks, out, **changes):
    """Options of a grid of a few seconds whose adapters are saved."""
    given = {
        "methods": "lora[r=4]",
        "tasks": str(tasks),
        "models": str(models),
        "lr": "0.03",
        "forgetting": "drift",
        "forgetting_limit": 4,
        "checkpoints": "last",
        "epochs": 2,
        "batch_size": 4,
        "device": "cpu",
        "workers": 1,
        "save_adapters": True,
        "out": out,
    }
    return build_options({**given, **changes})


@pytest.fixture(scope="session")
def saved_grid(tiny_folder, facts_file, prompt_config, tmp_path_factory):
    """The results folder and its records: one seed of each method, two of LoRA."""
    out = tmp_path_factory.mktemp("publishing") / "results"
    options = partial(small, tiny_folder, facts_file, out)
    ended = run_grid(options(methods=f"{METHODS},peft[path={prompt_config}]"), Silent()).records
    again = run_grid(options(methods=METHODS.partition(",")[0], seeds="1"), Silent()).records
    records = (*ended, *again)
    assert all(record.status == "done" for record in records)
    return out, records


@pytest.fixture
def small_grid(tiny_folder, facts_file, tmp_path):
    """Run a small grid in a folder of its own and return its records."""

    def run(**changes):
        out = tmp_path / "results"
        return run_grid(small(tiny_folder, facts_file, out, **changes), Silent()).records

    return run


@pytest.fixture
def saved_of(saved_grid):
    """Return the adapter of a method and a seed, named by how its recipe begins."""
    results, records = saved_grid

    def find(method, seed=0) -> SavedAdapter:
        [record] = [r for r in records if r.spec.method.startswith(method) and r.spec.seed == seed]
        assert record.adapter_path, record.warnings
        return SavedAdapter(record, results / record.adapter_path)

    return find
