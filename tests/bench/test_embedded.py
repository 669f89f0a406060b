"""A whole cell on the embedded model, and its score by lm-eval's own command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from bench.cli import main
from bench.device import Compute
from bench.gguf import dequantised_folder
from bench.grid import plan_grid
from bench.models import EMBEDDED
from bench.options import build_options
from bench.progress import Silent
from bench.records import CellRecord, Forgetting, Status
from bench.runner import run_cell
from bench.store import ResultsStore
from bench.workbench import Workbench

pytestmark = pytest.mark.integration

ITEMS = 10


@dataclass(frozen=True)
class Trained:
    """A cell's record, where its files lie, and the parameters of the base that it changed."""

    record: CellRecord
    out: Path
    changed: list[str]

    def forgetting(self, task: str) -> Forgetting:
        """Return what was measured on a task."""
        return next(found for found in self.record.forgetting if found.task == task)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One cell of `lora` on eight countries."""
    given = {
        "methods": "lora",
        "limit": 8,
        "epochs": 8,
        "forgetting": "elements,drift",
        "forgetting_limit": ITEMS,
        "device": "cpu",
        "save_adapters": True,
        "out": tmp_path_factory.mktemp("results"),
    }
    chosen = build_options(given)
    [cell] = plan_grid(chosen, ResultsStore(chosen.out))
    bench = Workbench(chosen, Compute("cpu", "float32"), print)
    weights = bench.base(cell).model.state_dict()
    before = {name: tensor.clone() for name, tensor in weights.items()}
    record = run_cell(cell, bench, Silent()).record
    changed = [name for name, tensor in weights.items() if not torch.equal(tensor, before[name])]
    return Trained(record, chosen.out, changed)


def test_lora_learns_eight_facts_and_leaves_the_base_as_it_was(trained):
    record = trained.record
    assert record.status is Status.DONE, record.traceback or record.reason
    assert record.metrics.reliability >= 0.7
    assert record.metrics.reliability > record.metrics.reliability_before
    assert record.init_difference == 0.0
    assert not trained.changed
    assert len(trained.forgetting("elements").tuned_items) == ITEMS
    assert 0 < trained.forgetting("elements").tuned < 1
    assert 0 < trained.forgetting("drift").forgetting < 1


def test_lm_eval_gives_the_saved_adapter_the_score_of_its_cell(trained, tmp_path):
    name = "smollm2-135m"
    assert main(["export-task", "elements", str(tmp_path / "tasks")]) == 0
    model = {
        "pretrained": dequantised_folder(name, EMBEDDED[name], print),
        "peft": trained.out / trained.record.adapter_path,
        "dtype": "float32",
    }
    options = {
        "--include_path": tmp_path / "tasks",
        "--tasks": "elements",
        "--model": "hf",
        "--model_args": ",".join(f"{key}={value}" for key, value in model.items()),
        "--limit": ITEMS,
        "--device": "cpu",
        "--output_path": tmp_path / "out.json",
    }
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", *(str(w) for p in options.items() for w in p)],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    [written] = tmp_path.rglob("out*.json")
    found = json.loads(written.read_text(encoding="utf-8"))["results"]["elements"]
    assert found["acc,none"] == pytest.approx(trained.forgetting("elements").tuned)
