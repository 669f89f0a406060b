"""What watching a large grid costs the machine that runs it."""

from __future__ import annotations

import json
import time

import pytest

from bench.live import folder, view
from bench.live.view import LiveView
from tests.bench.report_grid import GridShape, write_grid

FIRST, AFTERWARDS = 0.5, 0.02
"""Seconds of computing: five times and four times what they took when this was written."""


def computing(work):
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


@pytest.mark.machine
def test_a_thousand_cells_are_read_once_and_looked_at_in_milliseconds(tmp_path, monkeypatch):
    monkeypatch.setattr(view, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(view, "LOOK_SHARE", float("inf"))
    monkeypatch.setattr(folder, "READ_SECONDS", 600.0)
    shape = GridShape(models=5, tasks=5, methods=4, seeds=10)
    shown = LiveView(write_grid(tmp_path / "results", shape))
    first, answer = computing(shown.state)
    assert len(answer["cells"]) == shape.cells == 1000
    polls = [computing(lambda: shown.state(answer["version"])) for _ in range(5)]
    assert first < FIRST
    assert min(seconds for seconds, _ in polls) < AFTERWARDS
    assert all(len(json.dumps(told)) < 1000 for _, told in polls)
