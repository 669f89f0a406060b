"""Cells that are run together: the numbers, claims, records and failures of cells run alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass

import pytest
import torch

from bench.cell import running, together
from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.forgetting.suite import ForgettingSuite
from bench.planning.grid import plan_grid
from bench.planning.stacking import fitting, may_stack
from bench.progress.base import Silent
from bench.stacking import train as stacked_train
from bench.store.records import PhaseName, Status
from bench.store.store import ResultsStore
from methods.adapters.lora import Lora
from methods.parts import ADAPTERS
from tasks.errors import UsageError

METHODS = "lora[r=4],dora[r=4],pissa[r=4],corda[r=4]"
TASK = "fictional[n=40,seed=1]"
NO_MEMORY = "CUDA out of memory. Tried to allocate 2 GiB"


class Notes(Silent):
    """Keeps what is told."""

    def __init__(self):
        self.lines, self.ended = [], []

    def note(self, line):
        self.lines.append(line)

    def end_cell(self, status, line):
        self.ended.append((status, line))


@pytest.fixture(scope="module")
def options_for(tiny_folder, facts_file, tmp_path_factory):
    def build(**changes):
        given = {
            "methods": "lora[r=4]",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "seeds": "0-3",
            "forgetting": "none",
            "epochs": 2,
            "batch_size": 4,
            "device": "cpu",
            "stack": 4,
            "workers": 1,
            "out": tmp_path_factory.mktemp("results"),
        }
        return build_options({**given, **changes})

    return build


@pytest.fixture
def part(monkeypatch):
    """Register an adapter under a name."""
    ADAPTERS.names()
    monkeypatch.setattr(ADAPTERS, "_members", dict(ADAPTERS._members))
    return ADAPTERS.register


def run(options, progress=None):
    """Run a grid; return its records by cell."""
    outcome = run_grid(options, progress or Silent())
    return {record.cell_id: record for record in outcome.records}


def rows_of(options, cell_id):
    return ResultsStore(options.out).rows(cell_id)


def numbers(record):
    found = {
        name: value for name, value in record.metrics.model_dump().items() if value is not None
    }
    losses = {f"loss {epoch.epoch}": epoch.loss for epoch in record.curve}
    lost = {found.task: found.forgetting for found in record.forgetting}
    path = {f"drift {point.epoch}": point.drift for point in record.path if point.drift is not None}
    return found | losses | lost | path


def assert_same_numbers(one, other):
    assert (one.status, other.status) == (Status.DONE,) * 2, one.reason or other.reason
    assert numbers(other) == pytest.approx(numbers(one), rel=1e-3, abs=1e-5)


@pytest.fixture(scope="module")
def both(options_for):
    """A grid of four methods and two seeds: run one by one, and all eight cells at once."""
    grid = {
        "methods": METHODS,
        "seeds": "0,1",
        "forgetting": f"{TASK},drift",
        "forgetting_limit": 4,
        "checkpoints": "drift",
    }
    chosen = [options_for(stack=number, **grid) for number in (1, 8)]
    return [(options, run(options)) for options in chosen]


def test_a_grid_run_together_has_the_numbers_of_cells_run_alone(both):
    (alone_options, alone), (options, stacked) = both
    assert alone.keys() == stacked.keys()
    assert len(alone) == 8
    for cell_id, one in alone.items():
        other = stacked[cell_id]
        assert_same_numbers(one, other)
        assert (one.stacked, other.stacked) == (1, 8)
        assert set(other.phases) == {*PhaseName} - {PhaseName.EXPLAIN}
        assert [point.epoch for point in other.path] == [point.epoch for point in one.path]
        rows = rows_of(options, cell_id), rows_of(alone_options, cell_id)
        assert rows[0]["answer_after"].equals(rows[1]["answer_after"])
    assert run_grid(options, Silent()).ran == 0


def test_shared_phases_are_charged_in_even_shares(both):
    _, (_, stacked) = both
    records = list(stacked.values())
    for name in (PhaseName.EVALUATE, PhaseName.FORGET):
        assert len({record.phases[name].seconds for record in records}) == 1
    assert len({record.phases[PhaseName.PREPARE].seconds for record in records}) == 8


def test_what_may_not_be_stacked_runs_alone_in_the_same_grid(options_for, tmp_path):
    config = tmp_path / "adapter_config.json"
    config.write_text(
        json.dumps({"peft_type": "ADALORA", "init_r": 4, "target_r": 2, "total_step": 40})
    )
    able = ("lora[r=4]", "dora[r=4]")
    methods = [*able, "full", "lora[r=4,dropout=0.1]", f"peft[path={config}]"]
    options = options_for(methods=",".join(methods), seeds="0", stack=8)
    cells = plan_grid(options, ResultsStore(options.out))
    assert {cell.spec.method for cell in cells if may_stack(cell)} == set(able)
    assert [len(fitting(cell, cells)) for cell in cells] == [2, 2, 1, 1, 1]
    records = run(options).values()
    assert [(r.status, r.reason) for r in records] == [(Status.DONE, "")] * 5
    assert [record.stacked for record in records] == [2, 2, 1, 1, 1]


@pytest.fixture
def two_tasks(facts_file, tmp_path):
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(facts_file.read_text().splitlines(keepends=True)[:5]))
    return f"{facts_file},{fewer}"


def test_tasks_placements_filters_and_weights_may_differ_in_one_stack(options_for, two_tasks):
    methods = "lora[r=4],lora[r=2]+last[n=1],dora[r=4]+filter[rho=0.5]+reweight"
    grid = {"methods": methods, "tasks": two_tasks, "seeds": "0", "forgetting": "drift"}
    alone = run(options_for(stack=1, **grid))
    stacked = run(options_for(stack=6, **grid))
    assert len(stacked) == 6
    for cell_id, record in stacked.items():
        assert record.stacked == 6
        assert_same_numbers(alone[cell_id], record)


def test_parts_that_raise_harm_only_their_own_cells(options_for, part):
    def raising(name):
        def fail(self, *given):
            raise ValueError(f"no {name}")

        bad = dataclass(frozen=True)(type(name, (Lora,), {name: fail}))
        part(f"bad_{name}")(bad)
        return f"bad_{name}[r=4]"

    alone = run(options_for(stack=1, seeds="0"))
    bad = [raising(name) for name in ("prepare", "attach", "notes")]
    options = options_for(methods=",".join(["lora[r=4]", *bad]), seeds="0", stack=4)
    progress = Notes()
    found = {record.spec.method: record for record in run(options, progress).values()}
    assert [found[name].reason for name in bad] == [
        f"ValueError: no {name}" for name in ("prepare", "attach", "notes")
    ]
    assert {found[name].status for name in bad} == {Status.FAILED}
    assert "in fail" in found[bad[2]].traceback
    assert_same_numbers(next(iter(alone.values())), found["lora[r=4]"])
    assert len(progress.ended) == 4


def test_a_cell_that_diverges_leaves_its_neighbours_alone(options_for, monkeypatch):
    alone = run(options_for(stack=1))
    plain = stacked_train._Member.update

    def update(self, gradient, numbers, widths):
        if self.number == 1 and self.epoch == 2:
            numbers = [float("nan") for _ in numbers]
        return plain(self, gradient, numbers, widths)

    monkeypatch.setattr(stacked_train._Member, "update", update)
    found = run(options_for())
    states = Counter(record.status for record in found.values())
    assert states == {Status.DONE: 3, Status.DIVERGED: 1}
    for cell_id, record in found.items():
        if record.status is Status.DONE:
            assert_same_numbers(alone[cell_id], record)
        else:
            assert record.step == 2


def fail_when(monkeypatch, owner, name, when, error):
    """Let a function raise an error where its arguments say so; return how often it was called."""
    plain, calls = getattr(owner, name), []

    def maybe(*given, **named):
        calls.append(given)
        if when(len(calls), *given):
            raise error()
        return plain(*given, **named)

    monkeypatch.setattr(owner, name, maybe)
    return calls


def no_memory():
    return torch.OutOfMemoryError(NO_MEMORY)


def test_a_stack_that_memory_runs_out_for_is_halved(options_for, monkeypatch):
    calls = fail_when(
        monkeypatch, together, "train_together", lambda n, stack, *_: stack.members > 2, no_memory
    )
    progress = Notes()
    found = run(options_for(), progress)
    assert [len(given[1]) for given in calls] == [4, 2, 2]
    assert {(r.status, r.stacked, r.micro_batches) for r in found.values()} == {(Status.DONE, 2, 1)}
    assert any("in two halves" in line for line in progress.lines)


def test_memory_that_runs_out_even_for_one_ends_in_micro_batches(options_for, monkeypatch):
    fail_when(monkeypatch, together, "train_together", lambda *_: True, no_memory)
    fail_when(
        monkeypatch,
        running,
        "train",
        lambda n, model, adapter, plan, *_: plan.micro_batches == 1,
        no_memory,
    )
    found = run(options_for(seeds="0,1")).values()
    assert {(r.status, r.stacked, r.micro_batches) for r in found} == {(Status.DONE, 1, 2)}


@pytest.mark.parametrize("name", ["respond_together", "measure_together"])
def test_asking_that_runs_out_of_memory_is_asked_again_with_what_was_trained(
    options_for, monkeypatch, name
):
    trained = fail_when(monkeypatch, together, "train_together", lambda *_: False, no_memory)
    owner = ForgettingSuite if name == "measure_together" else together
    asked = fail_when(monkeypatch, owner, name, lambda n, *_: n == 1, no_memory)
    progress = Notes()
    found = run(options_for(forgetting="drift", forgetting_limit=4), progress).values()
    assert {(record.status, record.stacked) for record in found} == {(Status.DONE, 4)}
    assert (len(trained), len(asked)) == (1, 2)
    assert any("half as many rows" in line for line in progress.lines)


def test_asking_that_fails_together_is_done_one_by_one(options_for, monkeypatch):
    trained = fail_when(monkeypatch, together, "train_together", lambda *_: False, no_memory)
    fail_when(
        monkeypatch, together, "respond_together", lambda *_: True, lambda: RuntimeError("broken")
    )
    alone = run(options_for(stack=1))
    for cell_id, record in run(options_for()).items():
        assert record.stacked == 4
        assert_same_numbers(alone[cell_id], record)
    assert len(trained) == 1


@pytest.mark.parametrize("error", [UsageError, RuntimeError])
def test_a_stack_that_cannot_be_trained_runs_its_cells_alone(options_for, monkeypatch, error):
    name = "stack_models" if error is UsageError else "train_together"
    fail_when(monkeypatch, together, name, lambda *_: True, lambda: error("no such stack"))
    progress = Notes()
    found = run(options_for(seeds="0,1"), progress).values()
    assert {(record.status, record.stacked) for record in found} == {(Status.DONE, 1)}
    [line] = [line for line in progress.lines if "no such stack" in line]
    assert "one by one" in line


def test_ctrl_c_notes_every_cell_of_a_stack_and_the_run_goes_on_later(options_for):
    class Impatient(Silent):
        def step(self, done, loss=None):
            raise KeyboardInterrupt

    options = options_for(seeds="0-5")
    outcome = run_grid(options, Impatient())
    assert (outcome.interrupted, outcome.ran) == (True, 0)
    assert [record.status for record in outcome.records] == [Status.INTERRUPTED] * 4
    assert not list(options.out.glob("claims/*.json"))
    assert Counter(r.status for r in run(options).values()) == {Status.DONE: 6}


def test_ctrl_c_between_two_groups_keeps_the_first(options_for, two_tasks, monkeypatch):
    asked = fail_when(
        monkeypatch, together, "respond_together", lambda n, *_: n == 2, KeyboardInterrupt
    )
    options = options_for(tasks=two_tasks, seeds="0,1")
    found = run(options).values()
    assert Counter(r.status for r in found) == {Status.DONE: 2, Status.INTERRUPTED: 2}
    assert len(asked) == 2
    assert len({r.spec.facts for r in found if r.status is Status.DONE}) == 1


def test_cells_that_take_too_long_together_are_stopped(options_for, monkeypatch):
    monkeypatch.setattr(together, "train_together", lambda *_: time.sleep(3000))
    found = run(options_for(seeds="0,1", timeout=1)).values()
    assert {(r.status, r.reason) for r in found} == {
        (Status.FAILED, "stopped after 1 s (--timeout)")
    }


KILLED = """
import os, signal, sys
from bench.config.options import RunOptions
from bench.execution.run import run_grid
from bench.progress.base import Silent
from bench.store.store import ResultsStore

plain, written = ResultsStore.write, []

def write(self, record, rows):
    plain(self, record, rows)
    written.append(record)
    if len(written) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

ResultsStore.write = write
run_grid(RunOptions.model_validate_json(sys.stdin.read()), Silent())
"""


def test_a_killed_stack_keeps_what_it_wrote_and_ends_as_if_nothing_had_happened(
    options_for, two_tasks
):
    grid = {"tasks": two_tasks, "seeds": "0,1"}
    options = options_for(**grid)
    given = options.model_dump_json()
    killed = subprocess.run([sys.executable, "-c", KILLED], input=given, text=True, check=False)
    assert killed.returncode == -9
    store = ResultsStore(options.out)
    assert [record.status for record in store.records().records] == [Status.DONE] * 3
    assert run_grid(options, Silent()).ran == 1
    alone = run(options_for(stack=1, **grid))
    again = run(options)
    assert sorted(record.stacked for record in again.values()) == [1, 4, 4, 4]
    for cell_id, record in again.items():
        assert_same_numbers(alone[cell_id], record)


def test_two_workers_share_a_grid_and_run_no_cell_twice(options_for):
    progress = Notes()
    options = options_for(seeds="0-7", workers=2)
    outcome = run_grid(options, progress)
    assert outcome.ran == 8
    assert Counter(status for status, _ in progress.ended) == {Status.DONE: 8}
    assert {record.stacked for record in outcome.records} == {4}
    assert not list(options.out.glob("claims/*.json"))
