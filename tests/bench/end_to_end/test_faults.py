"""What may go wrong in a run, each fault once: one clear line, and nothing else is lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from dataclasses import dataclass

import pytest
import torch

from bench import cli
from bench.config.options import build_options
from bench.execution.queue import outcome_line
from bench.execution.run import run_grid
from bench.failures import NoSpaceError, is_out_of_memory
from bench.forgetting.suite import ForgettingSuite
from bench.progress.base import Silent
from bench.store import store as store_module
from bench.store.records import SCHEMA_VERSION, Status
from bench.store.store import ResultsStore
from methods.adapters.lora import Lora
from methods.parts import ADAPTERS, Adapter
from tasks.errors import UsageError


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


@pytest.fixture
def options(tiny_folder, facts_file, tmp_path):
    """Options of cells that take a moment."""

    def make(**changes):
        given = {
            "methods": "lora[r=4]",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "none",
            "epochs": 2,
            "batch_size": 4,
            "device": "cpu",
            "out": tmp_path / "results",
        }
        return build_options({**given, **changes})

    return make


@pytest.fixture
def troubled(monkeypatch):
    """Register `troubled`: LoRA whose extra loss is what a test says."""
    ADAPTERS.names()
    monkeypatch.setattr(ADAPTERS, "_members", dict(ADAPTERS._members))
    trouble = []

    @ADAPTERS.register("troubled")
    @dataclass(frozen=True)
    class Troubled(Lora):
        def extra_loss(self, model):
            return trouble[0](model)

    return trouble.append


def test_a_measured_cell_stays_measured_when_saving_fails(options, troubled):
    troubled(lambda model: None)
    ADAPTERS["troubled"].save = Adapter.save  # as of an adapter that does not define it
    [record] = run_grid(options(methods="troubled[r=4]", save_adapters=True), Silent()).records
    assert (record.status, record.adapter_path) == (Status.DONE, "")
    assert record.metrics.reliability is not None
    [line] = [line for line in record.warnings if "not saved" in line]
    assert "troubled cannot be saved" in line
    assert "--save-adapters" in line


def test_half_an_adapter_is_not_kept(options, troubled):
    def save(self, model, prepared, setting, folder):
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
        raise RuntimeError("tensors share memory\nand more")

    troubled(lambda model: None)
    ADAPTERS["troubled"].save = save
    chosen = options(methods="troubled[r=4]", save_adapters=True)
    [record] = run_grid(chosen, Silent()).records
    assert record.status is Status.DONE
    assert "the adapter was not saved: RuntimeError: tensors share memory" in record.warnings
    assert list((chosen.out / "adapters").iterdir()) == []


def test_a_cell_that_fails_late_says_why(options, troubled):
    lines = []

    class Shown(Silent):
        def end_cell(self, status, line):
            lines.append((status, line))

    def late(model):
        raise UsageError("the penalty needs labels")

    troubled(late)
    run_grid(options(methods="troubled[r=4]", workers="1"), Shown())
    [(status, line)] = lines
    assert status is Status.FAILED
    assert "the penalty needs labels" in line
    assert "reliability" not in line


def test_a_cell_whose_forgetting_cannot_be_measured_keeps_what_it_learned(options, monkeypatch):
    def fail(suite, model):
        raise RuntimeError("the task broke")

    monkeypatch.setattr(ForgettingSuite, "measure", fail)
    [record] = run_grid(options(), Silent()).records
    assert (record.status, "the task broke" in record.reason) == (Status.FAILED, True)
    assert record.metrics.reliability is not None
    assert outcome_line(record) == record.reason


def test_training_that_writes_to_the_base_fails_and_the_next_cell_has_another_base(
    options, troubled, tmp_path
):
    def write(model):
        model.get_base_model().model.layers[0].mlp.up_proj.base_layer.weight.data += 1.0

    troubled(write)
    [alone] = run_grid(options(out=tmp_path / "alone"), Silent()).records
    failed, after = run_grid(options(methods="troubled[r=4],lora[r=4]"), Silent()).records
    assert failed.status is Status.FAILED
    assert "training changed model.layers.0.mlp.up_proj.weight, which" in failed.reason
    assert not failed.traceback
    assert after.metrics == alone.metrics
    assert after.curve == alone.curve


def files_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def comparable(record):
    return record.model_dump(exclude={"phases", "provenance", "warnings", "micro_batches", "flops"})


def test_out_of_memory_is_tried_once_more_in_halves_with_the_numbers_of_whole_batches(
    options, troubled, tmp_path, snapshot
):
    calls = []

    def fail_first(model):
        calls.append(len(calls))
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    troubled(fail_first)
    notes = Notes()
    [halved] = run_grid(options(methods="troubled[r=4]"), notes).records
    assert (halved.status, halved.micro_batches) == (Status.DONE, 2)
    assert any("2 micro-batches" in line for line in halved.warnings)
    snapshot("failures", "out of memory", "\n".join((*notes.lines, *halved.warnings)))
    assert len(calls) == 2 + 4, "the adapter's own loss counts once a step"
    whole_folder = tmp_path / "whole"
    [whole] = run_grid(options(methods="troubled[r=4]", out=whole_folder), Silent()).records
    assert whole.micro_batches == 1
    for one, other in zip(whole.curve, halved.curve, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.token_accuracy == other.token_accuracy
    for name, value in whole.metrics.model_dump().items():
        found = getattr(halved.metrics, name)
        assert value == (found if found is None else pytest.approx(found, rel=1e-4)), name


def test_out_of_memory_twice_is_the_cells_status(options, troubled):
    def fail(model):
        raise torch.OutOfMemoryError("CUDA out of memory")

    troubled(fail)
    failed, fine = run_grid(options(methods="troubled[r=4],lora[r=4]"), Silent()).records
    assert (failed.status, failed.micro_batches) == (Status.OUT_OF_MEMORY, 2)
    assert fine.status is Status.DONE
    cpu = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
    assert is_out_of_memory(cpu)
    assert not is_out_of_memory(RuntimeError("shapes differ"))


def test_a_loss_that_is_not_a_number_is_divergence_with_its_step(options, troubled, snapshot):
    steps = []

    def third(model):
        steps.append(1)
        return torch.tensor(float("nan")) if len(steps) == 3 else None

    troubled(third)
    [record] = run_grid(options(methods="troubled[r=4]"), Silent()).records
    assert (record.status, record.step) == (Status.DIVERGED, 2)
    snapshot("failures", "divergence", record.reason)


def test_a_part_that_raises_fails_its_cell_alone(options, troubled):
    def fail(model):
        raise ValueError("no such luck\nsecond line")

    troubled(fail)
    failed, fine = run_grid(options(methods="troubled[r=4],lora[r=4]"), Silent()).records
    assert (failed.status, failed.reason) == (Status.FAILED, "ValueError: no such luck")
    assert "extra_loss" in failed.traceback
    assert fine.status is Status.DONE


def test_a_cell_that_takes_too_long_is_stopped_and_the_next_runs(options, troubled, snapshot):
    slept = []

    def stuck(model):
        try:
            time.sleep(3000)
            slept.append(model)
        except Exception:
            raise AssertionError("a library's `except Exception` stopped the time limit") from None

    troubled(stuck)
    chosen = options(methods="troubled[r=4]", seeds="0,1", timeout=3)
    records = run_grid(chosen, Silent()).records
    assert not slept, "no sleep was slept to its end"
    assert [record.status for record in records] == [Status.FAILED] * 2
    snapshot("failures", "a cell that takes too long", records[0].reason)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_a_truncated_file_is_told_set_aside_and_its_cell_runs_again(options, kind):
    chosen = options(seeds="0,1")
    damaged, intact = run_grid(chosen, Silent()).records
    store = ResultsStore(chosen.out)
    cell_id = damaged.cell_id
    path = {
        "json": store.cells / f"{cell_id}.json",
        "parquet": store.facts / f"{cell_id}.parquet",
    }[kind]
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half)
    untouched = (store.cells / f"{intact.cell_id}.json").stat().st_mtime_ns
    notes = Notes()
    outcome = run_grid(chosen, notes)
    assert outcome.ran == 1
    [line] = [line for line in notes.lines if ".damaged" in line]
    assert line.startswith(f"cells/{cell_id}.json: ")
    assert path.with_name(f"{path.name}.damaged").read_bytes() == half
    assert comparable(store.read(cell_id)) == comparable(damaged)
    assert (store.cells / f"{intact.cell_id}.json").stat().st_mtime_ns == untouched
    assert store.records().problems == ()


def test_a_full_disk_ends_the_run_with_one_line_and_finished_cells_stay(
    options, monkeypatch, snapshot
):
    chosen = options(seeds="0-2")
    whole = store_module.write_parquet
    written = []

    def fill(rows, path):
        written.append(path)
        if len(written) > 1:  # the second cell's
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(rows, path)

    monkeypatch.setattr(store_module, "write_parquet", fill)
    with pytest.raises(NoSpaceError) as caught:
        run_grid(chosen, Silent())
    assert "\n" not in str(caught.value)
    snapshot("failures", "a full disk", str(caught.value).replace(str(chosen.out), "RESULTS"))
    found = ResultsStore(chosen.out).records()
    assert [record.status for record in found.records] == [Status.DONE]
    assert found.problems == ()
    assert not list(chosen.out.rglob("*.tmp"))
    assert not list(chosen.out.glob("claims/*.json"))
    monkeypatch.setattr(store_module, "write_parquet", whole)
    assert run_grid(chosen, Silent()).ran == 2


def test_a_full_disk_is_one_line_and_status_1_on_the_command_line(monkeypatch, capsys):
    def full(*given, **named):
        raise NoSpaceError("the disk is full")

    monkeypatch.setattr("bench.cli.run._plan", full)
    assert cli.main(["plan"]) == 1
    assert capsys.readouterr().err == "error: the disk is full\n"


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_folder_of_a_newer_program_is_one_line_and_left_alone(
    options, tiny_folder, facts_file, capsys, command
):
    chosen = options()
    cells = chosen.out / "cells"
    cells.mkdir(parents=True)
    newer = {"schema_version": SCHEMA_VERSION + 1, "what": "nobody knows"}
    (cells / "0123456789abcdef.json").write_text(json.dumps(newer))
    before = files_of(chosen.out)
    given = ["--tasks", str(facts_file), "--models", str(tiny_folder), "--out", str(chosen.out)]
    assert cli.main([command, *given, "--forgetting", "none", "--rerun", "all"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "newer program" in err
    assert files_of(chosen.out) == before
    with pytest.raises(UsageError, match="newer program"):
        run_grid(chosen, Silent())
    assert files_of(chosen.out) == before


def test_ctrl_c_leaves_a_note_of_the_cell_in_flight_and_never_harms_a_whole_one(options):
    class Impatient(Silent):
        def step(self, done, loss=None):
            raise KeyboardInterrupt

    chosen = options()
    outcome = run_grid(chosen, Impatient())
    [record] = outcome.records
    assert (outcome.interrupted, outcome.ran) == (True, 0)
    assert (record.status, record.reason) == (Status.INTERRUPTED, "stopped by Ctrl-C")
    assert run_grid(chosen, Silent()).records[0].status is Status.DONE
    again = options(rerun="all")
    assert run_grid(again, Impatient()).interrupted
    assert ResultsStore(chosen.out).read(record.cell_id).status is Status.DONE
