"""What a run writes for those who watch it, and what it leaves behind."""

from __future__ import annotations

import json
import os

import pytest

from bench.config.options import build_options
from bench.execution.leases import Claims
from bench.execution.telling import ToldProgress, announcing, telling
from bench.planning.grid import plan_grid
from bench.progress.base import Progress
from bench.store.running import RunningFiles
from bench.store.store import ResultsStore


@pytest.fixture
def cells(tiny_folder, facts_file, tmp_path):
    options = build_options(
        {
            "methods": "lora,dora",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "device": "cpu",
            "forgetting": "none",
            "out": tmp_path,
        }
    )
    return plan_grid(options, ResultsStore(tmp_path))


class Clock:
    time = 100.0

    def __call__(self):
        return self.time


class Shown(Progress):
    def __init__(self):
        self.heard = []

    def phase(self, name, steps=None):
        self.heard.append((name, steps))

    def step(self, done, loss=None):
        self.heard.append((done, loss))

    def note(self, line):
        self.heard.append(line)


def test_steps_are_written_once_in_a_while_and_all_are_passed_on(tmp_path, cells):
    clock, shown, files = Clock(), Shown(), RunningFiles(tmp_path)
    progress = ToldProgress(shown, files, cells[:1], clock)
    progress.phase("train", 100)
    inodes = set()
    for step in range(1, 100):
        clock.time += 0.01
        progress.step(step, 1 / step)
        inodes.add(os.stat(files.folder / f"cell-{cells[0].cell_id}.json").st_mtime_ns)
    assert len(inodes) <= 3, "one second has passed"
    progress.step(100, 0.01)
    told = files.progress(cells[0].cell_id)
    assert (told.phase, told.steps, told.done, told.loss) == ("train", 100, 100, 0.01)
    assert told.phase_started == 100.0
    assert [step for step, _ in told.losses] == list(range(1, 101))
    progress.note("a line")
    assert shown.heard == [("train", 100), *((s, 1 / s) for s in range(1, 101)), "a line"]


def test_a_training_that_starts_again_begins_a_new_curve_and_asking_keeps_it(tmp_path, cells):
    files = RunningFiles(tmp_path)
    progress = ToldProgress(Shown(), files, cells[:1])
    for loss in (5.0, 3.0):
        progress.phase("train", 1)
        progress.step(1, loss)
    progress.phase("evaluate")
    told = files.progress(cells[0].cell_id)
    assert (told.phase, told.steps, told.done, told.losses) == ("evaluate", None, 0, ((1, 3.0),))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_was_told_of_a_cell_is_gone_however_it_ends(tmp_path, cells, error):
    def begin_and_end():
        with telling(Shown(), tmp_path, cells):
            assert len(RunningFiles(tmp_path).progress(cells[0].cell_id).cells) == 2
            raise error

    with pytest.raises(error):
        begin_and_end()
    assert RunningFiles(tmp_path).first_cells() == []


def test_a_plan_stays_until_the_next_run_if_its_own_did_not_come_to_its_end(tmp_path, cells):
    files = RunningFiles(tmp_path)
    with announcing(tmp_path) as stopped:
        stopped.announce(cells)
        [first] = files.tokens()
        assert Claims(files.folder).lives(first)
    assert [cell.method for cell in files.plan(first).cells] == ["lora", "dora"]
    assert not Claims(files.folder).lives(first)
    with announcing(tmp_path) as whole:
        assert files.tokens() == []
        whole.announce(cells)
        whole.withdraw()
    assert files.tokens() == []


def test_a_new_run_clears_what_dead_ones_left_and_nothing_of_living_ones(tmp_path, cells):
    files = RunningFiles(tmp_path)
    dead, living = cells
    with Claims(tmp_path) as claims, announcing(tmp_path) as other:
        other.announce(cells)
        claims.take(living.cell_id)
        for cell in cells:
            ToldProgress(Shown(), files, [cell])
        assert {*files.first_cells()} == {dead.cell_id, living.cell_id}
        with announcing(tmp_path):
            assert files.first_cells() == [living.cell_id]
            assert len(files.tokens()) == 1


def test_who_only_watches_writes_nothing_and_knows_the_dead(tmp_path):
    claims = Claims(tmp_path)
    with claims:
        claims.take("a")
        path = tmp_path / "claims" / "a.json"
        owner = json.loads(path.read_text())
        gone = {**owner, "pid": 2**22 + 1}
        elsewhere = {**owner, "host": "elsewhere"}
        for name, content in {"gone": gone, "far": elsewhere, "old": elsewhere}.items():
            (tmp_path / "claims" / f"{name}.json").write_text(json.dumps(content))
        os.utime(tmp_path / "claims" / "old.json", (1, 1))
        before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "claims").iterdir()}
        watching = Claims(tmp_path)
        lives = {name: watching.lives(name) for name in sorted(watching.claimed())}
        assert lives == {"a": True, "far": True, "gone": False, "old": False}
        assert not watching.lives("nothing")
        assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "claims").iterdir()} == before
