"""Several processes on one results folder: killed, together, in shards, as workers."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from bench.config.options import build_options
from bench.planning.grid import plan_grid
from bench.store.records import Status
from bench.store.store import ResultsStore
from tests.bench.runs import Runs

pytestmark = pytest.mark.skipif(os.name == "nt", reason="fork and signals")

ROOT = Path(__file__).parents[3]

KILL_SEED = 20
"""Of the moments at which runs are killed."""


@pytest.fixture(scope="module")
def runs():
    with Runs() as started:
        yield started


@pytest.fixture
def typed(tiny_folder, facts_file):
    """Options of a grid of four small cells."""

    def make(out, *more):
        return [
            *("--methods", "lora[r=4],pissa[r=4]", "--seeds", "0,1", "--epochs", "2"),
            *("--tasks", str(facts_file), "--models", str(tiny_folder), "--device", "cpu"),
            *("--forgetting", "drift", "--batch-size", "4", "--out", str(out), *more),
        ]

    return make


def wait_for(condition, seconds=600.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def cells_in(folder):
    return list((folder / "cells").glob("*.json"))


def claims_in(folder):
    return list((folder / "claims").glob("*.json"))


def cell_seconds(folder):
    """Return what a cell took after the first, from when their records were written."""
    written = sorted(path.stat().st_mtime for path in cells_in(folder))
    return (written[-1] - written[0]) / (len(written) - 1)


def board(folder):
    """The leaderboard without what differs between two runs of one grid."""
    table = pd.read_csv(folder / "leaderboard.csv")
    volatile = [name for name in table if name.startswith(("seconds", "peak_bytes"))]
    return table.drop(columns=volatile)


@pytest.mark.parametrize(("kills", "cells"), [(3, 4), pytest.param(20, 12, marks=pytest.mark.slow)])
def test_a_grid_killed_at_random_moments_ends_as_an_uninterrupted_one(
    runs, typed, tmp_path, kills, cells
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    seeds = ("--seeds", f"0-{cells // 2 - 1}")
    runs.start("run", *typed(whole, *seeds))
    assert list(runs.wait().values()) == [0]
    chance, landed, seconds = random.Random(KILL_SEED), 0, cell_seconds(whole)
    for _ in range(5 * kills):
        pid = runs.start("run", *typed(killed, *seeds))
        wait_for(lambda wanted=landed * cells // kills: len(cells_in(killed)) >= wanted)
        time.sleep(chance.uniform(0, 2 * seconds))
        os.kill(pid, signal.SIGKILL)
        [status] = runs.wait().values()
        assert status in (-signal.SIGKILL, 0)
        assert ResultsStore(killed).records().problems == ()
        landed += status == -signal.SIGKILL
        if landed == kills:
            break
        if status == 0:  # it had ended before its kill, which does not count: there is more to do
            max(cells_in(killed), key=lambda path: path.stat().st_mtime).unlink()
    assert landed == kills
    runs.start("run", *typed(killed, *seeds))
    assert list(runs.wait().values()) == [0]
    assert not claims_in(killed)
    assert len(cells_in(killed)) == cells
    pd.testing.assert_frame_equal(board(killed), board(whole))


def test_two_runs_started_together_run_each_cell_once(runs, typed, tmp_path, monkeypatch):
    first, second = (runs.start("run", *typed(tmp_path)) for _ in range(2))
    written: dict[Path, set[int]] = {}

    def watch():
        for path in cells_in(tmp_path):
            with suppress(FileNotFoundError):
                written.setdefault(path, set()).add(path.stat().st_ino)
        return len(written) == 4 and not claims_in(tmp_path)

    wait_for(watch)
    assert set(runs.wait().values()) == {0}
    watch()
    assert all(len(files) == 1 for files in written.values()), "a cell was written twice"
    found = ResultsStore(tmp_path).records()
    assert [record.status for record in found.records] == [Status.DONE] * 4
    assert first != second


def test_shards_divide_a_grid_and_are_merged_by_copying(runs, typed, tmp_path):
    folders = [tmp_path / f"shard{part}" for part in (1, 2)]
    for part, folder in enumerate(folders, start=1):
        runs.start("run", *typed(folder, "--shard", f"{part}/2"))
    assert set(runs.wait().values()) == {0}, "also where a shard has no cells"
    names = [{path.name for path in cells_in(folder)} for folder in folders]
    assert names[0].isdisjoint(names[1])
    merged = tmp_path / "merged"
    for folder in folders:
        for kind in ("cells", "facts"):
            if (folder / kind).is_dir():
                shutil.copytree(folder / kind, merged / kind, dirs_exist_ok=True)
    assert len(cells_in(merged)) == 4
    runs.start("run", *typed(merged))
    before = {path.stat().st_mtime_ns for path in cells_in(merged)}
    assert list(runs.wait().values()) == [0]
    assert {path.stat().st_mtime_ns for path in cells_in(merged)} == before, "nothing ran again"


def test_shards_are_decided_by_the_cells_id_alone(typed, tmp_path, tiny_folder, facts_file):
    def ids(**changes):
        given = {"tasks": str(facts_file), "models": str(tiny_folder), "out": tmp_path}
        options = build_options({**given, "forgetting": "none", "seeds": "0-9", **changes})
        return {cell.cell_id for cell in plan_grid(options, ResultsStore(tmp_path))}

    shards = [ids(shard=f"{part}/3") for part in (1, 2, 3)]
    assert set.union(*shards) == ids()
    assert sum(map(len, shards)) == len(ids())
    assert all(shards)
    fewer = ids(seeds="0-4")
    assert ids(seeds="0-4", shard="1/3") == fewer & shards[0]


class Workers:
    """A run with two workers, in a process of its own."""

    def __init__(self, arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench", "run", *arguments, "--workers", "2"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def owners(self, folder):
        found = []
        for path in claims_in(folder):
            with suppress(FileNotFoundError, json.JSONDecodeError):
                found.append(json.loads(path.read_text())["pid"])
        return found


def test_a_killed_worker_loses_only_its_cell_and_ctrl_c_ends_the_others(typed, tmp_path):
    run = Workers(typed(tmp_path, "--epochs", "40"))
    wait_for(lambda: len(set(run.owners(tmp_path))) == 2)
    killed, other = set(run.owners(tmp_path))
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: {*run.owners(tmp_path)} - {killed, other} or len(cells_in(tmp_path)) == 4)
    run.process.send_signal(signal.SIGINT)
    _, err = run.process.communicate(timeout=600)
    assert run.process.returncode in (130, 0), err
    assert "died (SIGKILL); restarting it" in err
    assert re.search(r"worker [12]: ", err)
    assert "Traceback" not in err
    assert not claims_in(tmp_path)
    for pid in (killed, other):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    last = Workers(typed(tmp_path, "--epochs", "40"))
    _, err = last.process.communicate(timeout=600)
    assert last.process.returncode == 0, err
    found = ResultsStore(tmp_path).records()
    assert [record.status for record in found.records] == [Status.DONE] * 4
    assert {record.provenance["threads"] for record in found.records} == {1}
    asked = [json.loads(path.read_text())["of"][0] for path in (tmp_path / "base").glob("*.json")]
    assert sorted(asked) == ["before", "drift texts", "knowledge"], "one process asked, once"
