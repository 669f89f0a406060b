"""Cells that are handed to workers come back, or the run says so and ends with another status."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import main
from bench.config.options import build_options
from bench.execution.local_backend import LocalBackend
from bench.execution.messages import Kind
from bench.execution.pool import WorkerPool
from bench.planning.grid import plan_grid
from bench.planning.resolver import Assignment, resolve
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.errors import UsageError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def own_facts(facts_file, tmp_path):
    """A facts file that a test may change."""
    return Path(shutil.copy(facts_file, tmp_path / "own.jsonl"))


@pytest.fixture
def typed(tiny_folder, own_facts, tmp_path):
    """A grid of two small cells for two workers."""
    return [
        *("run", "--methods", "lora[r=4],dora[r=4]", "--epochs", "1", "--device", "cpu"),
        *("--tasks", str(own_facts), "--models", str(tiny_folder), "--forgetting", "drift"),
        *("--forgetting-limit", "2", "--out", str(tmp_path / "results"), "--workers", "2"),
    ]


@pytest.fixture
def run(typed, monkeypatch, capfd):
    """Run it in this process; return its status and its lines on standard error."""
    monkeypatch.setattr("bench.report.plots.draw_plots", lambda *_: ())
    monkeypatch.setattr("bench.libraries.quiet_libraries", lambda: None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def start(*more):
        status = main([*typed, *more])
        return status, capfd.readouterr().err

    yield start
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def before_start(monkeypatch):
    """Do something to each job after the grid was planned and before a worker has it."""

    def arrange(change):
        start = LocalBackend.start
        monkeypatch.setattr(
            LocalBackend, "start", lambda place, job, hear: start(place, change(job) or job, hear)
        )

    return arrange


def errors(err):
    assert "Traceback" not in err
    return [line for line in err.splitlines() if line.startswith("error: ")]


def stored(tmp_path):
    return {r.spec.method: r.status for r in ResultsStore(tmp_path / "results").records().records}


def test_facts_that_change_between_plan_and_worker_end_the_run(
    run, before_start, own_facts, tmp_path
):
    plain = own_facts.read_text()
    before_start(lambda job: own_facts.write_text(plain.replace('"att"', '"new"')) and None)
    status, err = run()
    [line] = errors(err)
    assert status != 0
    assert f"task '{own_facts}' changed since this run was planned" in line
    assert "run the same command again" in line
    assert stored(tmp_path) == {}


def test_a_worker_that_loses_a_specification_is_noticed(run, before_start, tmp_path):
    lost = []

    def drop(job):
        lost.append(job.cells[0].spec.method)
        return job.model_copy(update={"cells": job.cells[1:]})

    before_start(drop)
    status, err = run()
    [line] = errors(err)
    assert status == 1
    assert line.startswith(f"error: 1 cell was lost by the workers: {lost[0]} · ")
    assert "run the same command again" in line
    assert lost[0] not in stored(tmp_path)
    assert list(stored(tmp_path).values()) == [Status.DONE]
    assert all(name == lost[0] for name in lost)


def test_where_every_specification_is_lost_there_is_no_table_to_show(run, before_start):
    before_start(lambda job: job.model_copy(update={"cells": ()}))
    status, err = run()
    [line] = errors(err)
    assert status == 1
    assert line.startswith("error: 2 cells were lost by the workers: ")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_cell_in_which_worker_after_worker_is_killed_is_run_again_and_then_failed(
    run, monkeypatch, tmp_path
):
    show = WorkerPool._show
    killed = []

    def kill(pool, worker, message):
        show(pool, worker, message)
        if message.kind is Kind.CELL and "dora" in message.text:
            killed.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)

    monkeypatch.setattr(WorkerPool, "_show", kill)
    status, err = run("--epochs", "40")
    assert status == 1
    assert len(set(killed)) == 2
    assert "died (SIGKILL); restarting it" in err
    assert "2 workers died in this cell (SIGKILL)" in err
    assert stored(tmp_path) == {"lora[r=4]": Status.DONE, "dora[r=4]": Status.FAILED}


EDITED = """
import sys
from pathlib import Path
from bench.cli import main
from bench.execution.local_backend import LocalBackend

start = LocalBackend.start

def edited(place, job, hear):
    path = Path("methods/adapters/dora.py")
    path.write_text(path.read_text() + "\\nSCALE = 2\\n")
    return start(place, job, hear)

LocalBackend.start = edited
sys.exit(main(sys.argv[1:]))
"""


def test_a_part_whose_source_changes_between_plan_and_worker_ends_the_run(typed, tmp_path):
    checkout = tmp_path / "checkout"
    for package in ("bench", "methods", "tasks"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, checkout / package, ignore=skipped)
    done = subprocess.run(
        [sys.executable, "-c", EDITED, *typed],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    [line] = errors(done.stderr)
    assert done.returncode != 0
    assert "method 'dora[r=4]'" in line
    assert "changed since this run was planned" in line
    assert "run the same command again" in line


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("facts_digest", "task '"),
        ("prompt_digest", "the demonstrations of task '"),
        ("calibration_digest", "what method 'lora' calibrates on"),
        ("source_digest", "the source of method 'lora'"),
        ("model_revision", "model '"),
        ("dtype", "this program"),
    ],
)
def test_whatever_changed_is_named(tiny_folder, facts_file, tmp_path, field, said):
    given = {"tasks": str(facts_file), "models": str(tiny_folder), "forgetting": "none"}
    options = build_options({**given, "methods": "lora", "device": "cpu", "out": tmp_path})
    [cell] = plan_grid(options, ResultsStore(tmp_path))
    assignment = Assignment.of(cell)
    assert [found.spec for found in resolve([assignment], options)] == [cell.spec]
    other = cell.spec.model_copy(update={field: "of another time"})
    with pytest.raises(UsageError) as told:
        resolve([Assignment(cell_id="0" * 16, spec=other, stamp=None)], options)
    assert str(told.value).startswith(said)
    assert "run the same command again" in str(told.value)
    with pytest.raises(UsageError, match="this program changed"):
        resolve([assignment.model_copy(update={"cell_id": "0" * 16})], options)
