"""The time left, computed plainly."""

from __future__ import annotations

import pytest

from bench.live.folder import Look
from bench.live.shown import ShownCell, State
from bench.live.time_left import seconds_left
from bench.store.running import GridPlan

NOW = 1000.0


def cell(name, state, method="lora", **values):
    return ShownCell(name, state, method, "model", "task", 0, 1e-3, **values)


def look(*cells, groups=1, started=500.0, written=600.0):
    return Look(
        cells={each.id: each for each in cells},
        plans=(GridPlan(token="t", started=started, cells=()),),
        abandoned=False,
        groups=groups,
        unread=0,
        written=dict.fromkeys((each.id for each in cells), written),
    )


def test_waiting_cells_take_as_long_as_those_of_their_method_or_else_of_their_task():
    found = look(
        cell("a", State.DONE, seconds=10.0),
        cell("b", State.DONE, seconds=20.0),
        cell("c", State.DONE, method="full", seconds=60.0),
        cell("d", State.RUNNING, started=NOW - 5),
        cell("e", State.WAITING, method="full"),
        cell("f", State.WAITING, method="dora"),
    )
    assert seconds_left(found, NOW) == pytest.approx((15 - 5) + 60 + (10 + 20 + 60) / 3)


def test_processes_share_what_is_left_and_cells_that_run_together_the_time_that_has_passed():
    running = [cell(f"r{n}", State.RUNNING, started=NOW - 12) for n in range(3)]
    alone = cell("s", State.RUNNING, started=NOW - 100)
    found = look(cell("a", State.DONE, seconds=10.0), *running, alone, groups=2)
    assert seconds_left(found, NOW) == pytest.approx((3 * 10 - 12 + 0) / 2)


def test_nothing_is_guessed():
    waiting = cell("w", State.WAITING)
    assert seconds_left(look(waiting), NOW) is None
    assert seconds_left(look(cell("a", State.DONE, seconds=5.0), waiting, groups=0), NOW) is None


def test_what_an_earlier_run_left_counts_only_until_this_one_has_finished_a_cell():
    cells = [cell("old", State.DONE, seconds=500.0), cell("w", State.WAITING)]
    assert seconds_left(look(*cells, written=400.0), NOW) == 500
    found = look(*cells, cell("new", State.DONE, seconds=2.0))
    found.written["old"] = 400.0
    assert seconds_left(found, NOW) == 2
