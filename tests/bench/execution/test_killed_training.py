"""Runs whose process is killed in a training, at whatever step it is, and started again."""

from __future__ import annotations

import os
import random
import signal
import time

import pandas as pd
import pytest

from bench.store.records import Status
from bench.store.store import ResultsStore
from tests.bench.runs import Runs

KILLS = 4

pytestmark = pytest.mark.slow


def test_a_training_killed_again_and_again_ends_with_the_same_numbers(
    tiny_folder, facts_file, tmp_path
):
    flags = ["--methods", "lora[r=4,dropout=0.2]", "--tasks", facts_file, "--models", tiny_folder]
    flags += ["--forgetting", "drift", "--forgetting-limit", 2, "--epochs", 60, "--batch-size", 2]
    flags += ["--device", "cpu", "--workers", 1, "--save-every", 1e-9]
    draws = random.Random(0)
    with Runs() as runs:
        runs.start("run", *flags, "--out", tmp_path / "whole")
        assert set(runs.wait().values()) == {0}
        kills = 0
        while kills < KILLS:
            pid = runs.start("run", *flags, "--out", tmp_path / "killed")
            wait_for_new_state(tmp_path / "killed" / "unfinished")
            time.sleep(draws.uniform(0, 0.5))
            os.kill(pid, signal.SIGKILL)
            [status] = runs.wait().values()
            if status == 0:  # it was done before
                break
            kills += 1
        runs.start("run", *flags, "--out", tmp_path / "killed")
        assert set(runs.wait().values()) == {0}
    assert kills >= 2, "it ended too soon to say anything"
    [whole] = ResultsStore(tmp_path / "whole").records().records
    [killed] = ResultsStore(tmp_path / "killed").records().records
    assert (whole.status, killed.status) == (Status.DONE, Status.DONE)
    assert len(killed.continued) >= 2, "killed before it went on, or it began anew"
    assert killed.continued == sorted(killed.continued)
    assert killed.losses_digest == whole.losses_digest, "of every step"
    assert killed.curve == whole.curve
    assert killed.path == whole.path
    assert killed.metrics == whole.metrics
    rows = [
        pd.read_parquet(tmp_path / name / "facts" / f"{whole.cell_id}.parquet")
        for name in ("whole", "killed")
    ]
    pd.testing.assert_frame_equal(*rows)
    assert not (tmp_path / "killed" / "unfinished").exists()


def wait_for_new_state(folder, seconds=60.0):
    """Wait until a training has written a state since it was started."""
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.pt")}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(p.stat().st_mtime_ns != before.get(p) for p in folder.glob("*.pt")):
            return
        time.sleep(0.02)
    raise AssertionError("no state was written")
