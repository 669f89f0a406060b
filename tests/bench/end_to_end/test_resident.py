"""Cells of one model share one base: nothing is loaded between them, and it comes back at once."""

from __future__ import annotations

import shutil
import sys
import time
from statistics import median

import pandas as pd
import pytest
import torch

from bench.cell import context as workbench
from bench.cell.attach import attach
from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.evaluation import signals
from bench.evaluation.signals import BaseSignals
from bench.execution.run import run_grid
from bench.forgetting import lm_eval_task as harness
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.store.records import Status
from bench.store.store import ResultsStore

WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf", "tokenizer.json")
METHODS = "lora[r=4],pissa[r=4],corda[r=4],full"
HAND_BACK = 0.2
"""Seconds within which the base is to be given back."""

_watched: list[list[str]] = []


def _hear(event, arguments):
    if event == "open" and _watched and str(arguments[0]).endswith(WEIGHTS):
        _watched[-1].append(f"open {arguments[0]}")


sys.addaudithook(_hear)  # cannot be removed: it does nothing while nobody watches


@pytest.fixture
def loads(monkeypatch):
    """What reads weights or tokenizers, or builds lm-eval's tasks, in the order of the calls."""
    import safetensors
    import transformers

    heard: list[str] = []

    def watch(owner, name):
        plain = getattr(owner, name)

        def watched(*arguments, **options):
            heard.append(name)
            return plain(*arguments, **options)

        monkeypatch.setattr(owner, name, watched)

    for owner in (transformers.AutoModelForCausalLM, transformers.AutoTokenizer):
        watch(owner, "from_pretrained")
    watch(safetensors, "safe_open")
    watch(transformers.modeling_utils, "safe_open")
    watch(torch, "load")
    watch(harness, "ConfigurableTask")
    _watched.append(heard)
    yield heard
    _watched.pop()


class Removing(Silent):
    """Removes the model's folder when the first cell ends, and notes when each one starts."""

    def __init__(self, heard, folder):
        self._heard, self._folder = heard, folder
        self.starts = []

    def cell(self, index, total, label, together=1):
        self.starts.append(len(self._heard))

    def end_cell(self, status, line):
        shutil.rmtree(self._folder, ignore_errors=True)


def options(model, task, out, **changes):
    given = {
        "methods": METHODS,
        "tasks": str(task),
        "models": str(model),
        "forgetting": "fictional[n=40,seed=1],drift",
        "forgetting_limit": 4,
        "epochs": 1,
        "device": "cpu",
        "out": out,
    }
    return build_options({**given, **changes})


def test_between_cells_of_one_model_nothing_is_loaded_or_built(
    tiny_folder, facts_file, tmp_path, loads, monkeypatch
):
    model = shutil.copytree(tiny_folder, tmp_path / "model")
    scored = []
    plain = harness.HarnessTask.score
    monkeypatch.setattr(
        harness.HarnessTask, "score", lambda *a: scored.append(a[2] is a[1].model) or plain(*a)
    )
    progress = Removing(loads, model)
    records = run_grid(options(model, facts_file, tmp_path / "results"), progress).records
    assert [record.status for record in records] == [Status.DONE] * 4
    first, second = progress.starts[:2]
    built = [entry for entry in loads[:first] if not entry.startswith("open ")]  # planning digests
    assert built == ["ConfigurableTask"], "one task, though corda calibrates on others"
    assert loads[first:second].count("from_pretrained") == 2, "the base and its tokenizer"
    assert "safe_open" in loads[first:second]
    assert any("tokenizer.json" in entry for entry in loads[first:second])
    assert loads[second:] == []
    assert (scored.count(True), scored.count(False)) == (1, 4), "the base is asked once"


def test_a_later_run_in_the_folder_does_not_ask_the_base_again(
    tiny_folder, facts_file, tmp_path, monkeypatch
):
    scored, asked = [], []
    score, respond = harness.HarnessTask.score, signals.respond_untrained
    monkeypatch.setattr(
        harness.HarnessTask, "score", lambda *a: scored.append(a[2] is a[1].model) or score(*a)
    )
    monkeypatch.setattr(signals, "respond_untrained", lambda *a: asked.append(a) or respond(*a))

    def run(method, out):
        chosen = options(tiny_folder, facts_file, tmp_path / out, methods=method)
        [record] = run_grid(chosen, Silent()).records
        rows = ResultsStore(chosen.out).rows(record.cell_id)
        return record.model_dump(include={"metrics", "forgetting", "curve"}), rows

    run("lora[r=4]", "one")
    assert (scored.count(True), len(asked)) == (1, 1)
    found, rows = run("pissa[r=4]", "one")
    assert (scored.count(True), len(asked)) == (1, 1)
    expected, expected_rows = run("pissa[r=4]", "another")
    assert (scored.count(True), len(asked)) == (2, 2)
    assert found == expected
    pd.testing.assert_frame_equal(rows, expected_rows)


def seconds_to_give_back(method, embedded_base, tmp_path, monkeypatch):
    """Change a borrowed base and give it back, three times; return what each giving back took."""
    monkeypatch.setattr(workbench, "load_base", lambda *_, **__: embedded_base)
    chosen = options("smollm2-135m", "countries", tmp_path, methods=method, limit=4)
    [cell] = plan_grid(chosen, ResultsStore(chosen.out))
    bench = CellContext(chosen, Compute("cpu", "float32"), print)
    seconds = []
    for _ in range(3):
        base = bench.start_cell(cell)
        signals = BaseSignals(base, cell.data.facts, cell.data.prompt, bench.cache)
        made = attach(base, signals, cell.recipe, cell.spec, cell.calibration)
        with torch.no_grad():
            for parameter in made.model.parameters():
                if parameter.requires_grad:
                    parameter.add_(1.0)
        start = time.perf_counter()
        del made, parameter
        bench.free_memory()
        seconds.append(time.perf_counter() - start)
    return seconds


@pytest.mark.integration
@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_embedded_base_is_given_back_as_it_was(method, embedded_base, tmp_path, monkeypatch):
    before = {name: tensor.clone() for name, tensor in embedded_base.model.state_dict().items()}
    seconds_to_give_back(method, embedded_base, tmp_path, monkeypatch)
    after = embedded_base.model.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())


@pytest.mark.machine
@pytest.mark.integration
@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_embedded_base_is_given_back_at_once(method, embedded_base, tmp_path, monkeypatch):
    seconds = seconds_to_give_back(method, embedded_base, tmp_path, monkeypatch)
    assert median(seconds) <= HAND_BACK
