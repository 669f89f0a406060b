"""What is said of the cells of a results folder, whatever state it is in."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from bench.live import folder as module
from bench.live.folder import WatchedFolder
from bench.live.shown import State
from bench.live.view import LiveView
from bench.store.records import Status
from tests.bench.live.folders import bury, cell, living, named, plan, record, stamps, tell
from tests.bench.report_cells import fill
from tests.bench.report_grid import GridShape, write_grid

EXAMPLE = Path(__file__).parents[3] / "results" / "example"


def states(found):
    return {shown.method: shown.state for shown in found.cells.values()}


@pytest.mark.parametrize("state", ["missing", "empty", "of other files"])
def test_a_folder_without_cells_has_none(tmp_path, state):
    folder = tmp_path / "results"
    if state != "missing":
        folder.mkdir()
    if state == "of other files":
        (folder / "cells").write_text("no folder")
        (folder / "running").write_text("no folder")
    found = WatchedFolder(folder).look()
    assert (found.cells, found.plans, found.groups, found.abandoned) == ({}, (), 0, False)


def test_every_status_of_a_record_has_its_state_and_its_reason(tmp_path):
    cells = [record(n, status, reason=f"because {n}") for n, status in enumerate(Status)]
    found = WatchedFolder(fill(tmp_path, [*cells[1:], cell(0)])).look()
    assert next(iter(Status)) is Status.DONE
    failed = {Status.FAILED, Status.OUT_OF_MEMORY, Status.DIVERGED, Status.SKIPPED}
    for number, status in enumerate(Status):
        shown = found.cells[named(number).cell_id]
        if status is Status.DONE:
            assert shown.state is State.DONE
            assert shown.score == cell(0)[0].metrics.reliability
            assert shown.losses == tuple(
                (e.epoch, pytest.approx(e.loss, rel=1e-3)) for e in cell(0)[0].curve
            )
        else:
            expected = State.FAILED if status in failed else State.INTERRUPTED
            assert shown.state is expected
            assert shown.reason == f"because {number}"


def test_a_number_that_json_does_not_know_is_told_of_its_cell_alone(tmp_path):
    folder = fill(tmp_path, [cell(0), cell(1)])
    path = folder / "cells" / f"{named(1).cell_id}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["curve"][0]["loss"] = float("nan")
    path.write_text(json.dumps(content), encoding="utf-8")
    found = LiveView(folder).state()
    json.dumps(found, allow_nan=False)
    told = {shown["id"]: (shown["state"], shown["reason"]) for shown in found["cells"]}
    assert told[named(0).cell_id] == (State.DONE, "")
    state, reason = told[named(1).cell_id]
    assert state is State.FAILED
    assert "not finite" in reason


def test_a_record_that_cannot_be_read_is_a_failure_that_names_it(tmp_path):
    folder = fill(tmp_path, [cell(0), cell(1)])
    path = folder / "cells" / f"{named(1).cell_id}.json"
    path.write_text("{]")
    found = WatchedFolder(folder).look()
    assert {shown.state for shown in found.cells.values()} == {State.DONE, State.FAILED}
    assert "cannot be read" in found.cells[named(1).cell_id].reason


def test_packed_cells_are_shown_too():
    found = WatchedFolder(EXAMPLE).look()
    assert {"lora", "corda"} <= {*states(found)}
    assert {*states(found).values()} == {State.DONE}


def test_what_a_living_run_has_yet_to_run_waits_and_what_it_runs_runs(tmp_path):
    fill(tmp_path, [cell(0)])
    plan(tmp_path, *map(named, range(5)))
    tell(tmp_path, 1, 2, phase="train", steps=8, done=3, loss=0.25, losses=((1, 1.0), (3, 0.25)))
    with living(tmp_path, 1, 2, 3):
        found = WatchedFolder(tmp_path).look()
    assert states(found) == {
        "lora[r=1]": State.DONE,
        "lora[r=2]": State.RUNNING,
        "lora[r=3]": State.RUNNING,
        "lora[r=4]": State.RUNNING,  # it has just been claimed
        "lora[r=5]": State.WAITING,
    }
    shown = found.cells[named(2).cell_id]
    assert (shown.phase, shown.done, shown.steps, shown.together) == ("train", 3, 8, 2)
    assert shown.losses == ((1, 1.0), (3, 0.25))
    assert found.groups == 2
    assert len(found.plans) == 1
    assert not found.abandoned


def test_after_a_kill_begun_cells_are_interrupted_and_others_wait_for_nobody(tmp_path):
    fill(tmp_path, [cell(0)])
    plan(tmp_path, *map(named, range(3)))
    tell(tmp_path, 1, phase="train")
    bury(tmp_path, named(1).cell_id)
    bury(tmp_path / "running", "a-run")
    found = WatchedFolder(tmp_path).look()
    assert states(found) == {
        "lora[r=1]": State.DONE,
        "lora[r=2]": State.INTERRUPTED,
        "lora[r=3]": State.WAITING,
    }
    assert "train" in found.cells[named(1).cell_id].reason
    assert found.abandoned
    assert (found.plans, found.groups) == ((), 0)


def test_a_cell_that_runs_again_waits_until_its_record_is_a_new_one(tmp_path):
    fill(tmp_path, [record(0, Status.FAILED)])
    [stamp] = stamps(tmp_path).values()
    plan(tmp_path, named(0, stamp))
    watched = WatchedFolder(tmp_path)
    with living(tmp_path):
        assert states(watched.look()) == {"lora[r=1]": State.WAITING}
        fill(tmp_path, [cell(0)])
        assert states(watched.look()) == {"lora[r=1]": State.DONE}
    assert states(watched.look()) == {"lora[r=1]": State.DONE}


def test_a_claim_that_only_looks_whether_a_cell_is_done_does_not_make_it_run(tmp_path):
    fill(tmp_path, [cell(0)])
    with living(tmp_path, 0):
        assert states(WatchedFolder(tmp_path).look()) == {"lora[r=1]": State.DONE}


def test_a_rewritten_record_is_read_again_and_no_other(tmp_path, monkeypatch):
    fill(tmp_path, [cell(0), cell(1)])
    watched, read = WatchedFolder(tmp_path), []
    original = module.WatchedFolder._record
    monkeypatch.setattr(
        module.WatchedFolder, "_record", lambda self, i: read.append(i) or original(self, i)
    )
    watched.look()
    watched.look()
    assert sorted(read) == sorted([named(0).cell_id, named(1).cell_id])
    fill(tmp_path, [record(1, Status.DIVERGED)])
    assert states(watched.look())["lora[r=2]"] is State.FAILED
    assert read[2:] == [named(1).cell_id]


def test_a_folder_may_be_deleted_and_come_back(tmp_path):
    folder = fill(tmp_path / "results", [cell(0)])
    watched = WatchedFolder(folder)
    assert len(watched.look().cells) == 1
    shutil.rmtree(folder)
    assert watched.look().cells == {}
    fill(folder, [cell(1)])
    assert states(watched.look()) == {"lora[r=2]": State.DONE}


def test_looking_while_a_folder_is_deleted_raises_nothing(tmp_path):
    shape = GridShape(models=1, tasks=1, methods=4, seeds=25)
    folder = write_grid(tmp_path / "results", shape)
    tell(folder, 1)
    plan(folder, *map(named, range(30)))
    watched = WatchedFolder(folder)
    deleting = threading.Thread(
        target=shutil.rmtree, args=(folder,), kwargs={"ignore_errors": True}
    )
    deleting.start()
    while deleting.is_alive():
        watched.look()
    deleting.join()
    shutil.rmtree(folder, ignore_errors=True)
    assert watched.look().cells == {}


def test_the_records_of_a_large_folder_are_read_in_several_looks(tmp_path, monkeypatch):
    folder = write_grid(tmp_path / "results", GridShape(models=1, tasks=1, methods=2, seeds=5))
    monkeypatch.setattr(module, "READ_SECONDS", -1.0)
    watched = WatchedFolder(folder)
    assert watched.look().unread == 10
    monkeypatch.setattr(module, "READ_SECONDS", 600.0)
    found = watched.look()
    assert (found.unread, len(found.cells)) == (0, 10)


def test_watching_writes_nothing(tmp_path):
    fill(tmp_path, [cell(0)])
    plan(tmp_path, *map(named, range(3)))
    tell(tmp_path, 1)
    bury(tmp_path, named(1).cell_id)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    WatchedFolder(tmp_path).look()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
