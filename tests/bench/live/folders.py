"""Results folders as a run leaves them at some moment, without a run."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import cache

from bench.execution.leases import Claims
from bench.store.running import CellProgress, GridPlan, NamedCell, RunningFiles
from bench.store.store import ResultsStore
from tests.bench.report_cells import make_cell

TOKEN = "a-run"


def cell(number, **values):
    """A finished cell with its rows, whose method tells its number."""
    return make_cell(n=2, spec={"method": f"lora[r={number + 1}]"}, **values)


def record(number, status, **values):
    """The same with another status, without rows."""
    return cell(number)[0].model_copy(update={"status": status, **values}), []


@cache
def _spec(number):
    done, _ = cell(number)
    return done.cell_id, done.spec


def named(number, stamp=None):
    return NamedCell.of(*_spec(number), stamp)


def tell(folder, *numbers, **values):
    """Write the progress of cells that run together."""
    told = {"cells": tuple(map(named, numbers)), "started": 10.0, "phase_started": 20.0, **values}
    RunningFiles(folder).tell(CellProgress(**told))


def plan(folder, *cells, token=TOKEN, started=5.0):
    RunningFiles(folder).announce(GridPlan(token=token, started=started, cells=cells))


@contextmanager
def living(folder, *numbers, token=TOKEN):
    """This process runs these cells, as part of a run."""
    with Claims(folder) as claims, Claims(RunningFiles(folder).folder) as lives:
        lives.take(token)
        for number in numbers:
            claims.take(named(number).cell_id)
        yield claims


def bury(folder, *names):
    """Claims of a process that is gone."""
    with Claims(folder) as claims:
        for name in names:
            claims.take(name)
            path = folder / "claims" / f"{name}.json"
            gone = {**json.loads(path.read_text()), "pid": 2**22 + 1, "token": "other"}
            path.write_text(json.dumps(gone))
        claims._held.clear()
        content = {p: p.read_text() for p in (folder / "claims").glob("*.json")}
    for path, text in content.items():
        path.write_text(text)


def stamps(folder):
    return ResultsStore(folder).stamps()
