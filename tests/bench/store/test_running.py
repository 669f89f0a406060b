"""What runs tell about cells under way: small, replaced as a whole, and harmless."""

from __future__ import annotations

import errno
import math
import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store import running
from bench.store.running import (
    MOST_LOSSES,
    CellProgress,
    GridPlan,
    LossCurve,
    NamedCell,
    RunningFiles,
)
from tests.bench.report_cells import make_spec


def named(cell_id="c0ffee", **spec):
    return NamedCell.of(cell_id, make_spec(**spec))


def progress(**values):
    return CellProgress(**{"cells": (named(),), "started": 1.0, "phase_started": 2.0, **values})


def test_what_was_told_is_read_again_and_gone_when_forgotten(tmp_path):
    files = RunningFiles(tmp_path)
    told = progress(phase="train", steps=9, done=3, loss=0.5, losses=((1, 2.0), (3, 0.5)))
    plan = GridPlan(token="t", started=1.0, cells=(named(), named("beef", seed=3)))
    files.tell(told)
    files.announce(plan)
    assert (files.first_cells(), files.progress("c0ffee")) == (["c0ffee"], told)
    assert (files.tokens(), files.plan("t")) == (["t"], plan)
    files.forget("c0ffee")
    files.withdraw("t")
    assert not os.listdir(files.folder)


@given(st.integers(1, 5000))
def test_a_curve_of_any_length_is_short_even_and_begins_at_its_beginning(steps):
    curve = LossCurve()
    for step in range(1, steps + 1):
        curve.add(step, 1 / step)
    kept = [step for step, _ in curve.points]
    gaps = {after - before for before, after in pairwise(kept)}
    assert kept[0] == 1
    assert len(kept) <= MOST_LOSSES
    assert len(gaps) <= 1
    assert steps - kept[-1] < max(gaps, default=1), "the latest is near the end"
    assert dict(curve.points) == {step: 1 / step for step in kept}


def test_losses_that_are_no_numbers_leave_a_readable_file(tmp_path):
    curve = LossCurve()
    curve.add(1, 3.0)
    curve.add(2, math.nan)
    curve.add(3, math.inf)
    files = RunningFiles(tmp_path)
    files.tell(progress(loss=math.nan, losses=curve.points))
    assert files.progress("c0ffee").losses == ((1, 3.0),)
    assert files.progress("c0ffee").loss is None


@pytest.mark.parametrize("fails", ["write_text", "mkdir"])
def test_a_full_disk_leaves_what_was_there_and_raises_nothing(tmp_path, monkeypatch, fails):
    files = RunningFiles(tmp_path)
    before = progress(done=1)
    if fails == "write_text":
        files.tell(before)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(running.Path, fails, full)
        files.tell(progress(done=2))
    assert files.progress("c0ffee") == (before if fails == "write_text" else None)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_results_folder_that_was_deleted_stays_deleted(tmp_path):
    gone = tmp_path / "gone"
    files = RunningFiles(gone)
    files.tell(progress())
    files.announce(GridPlan(token="t", started=1.0, cells=()))
    files.forget("c0ffee")
    assert not gone.exists()
    assert (files.first_cells(), files.tokens(), files.plan("t")) == ([], [], None)


def test_half_a_file_counts_as_none_and_what_a_kill_left_goes_with_its_cell(tmp_path):
    files = RunningFiles(tmp_path)
    files.tell(progress())
    path = files.folder / "cell-c0ffee.json"
    path.write_bytes(path.read_bytes()[:40])
    (files.folder / ".cell-c0ffee.json.123.tmp").write_text("{")
    assert files.progress("c0ffee") is None
    files.forget("c0ffee")
    assert not os.listdir(files.folder)
