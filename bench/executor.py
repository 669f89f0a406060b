"""A run: from options to the records of a grid, in this process or in several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.cautions import opening_notes
from bench.claims import Claims
from bench.device import choose_compute
from bench.device_map import check_device_map
from bench.failures import check_time_limit
from bench.grid import PlannedCell, plan_grid
from bench.local_workers import LocalWorkers
from bench.options import RunOptions
from bench.progress import Progress
from bench.records import CellRecord
from bench.store import ResultsStore
from bench.work import Work
from bench.workbench import Workbench
from bench.worker_count import worker_count


@dataclass(frozen=True)
class GridOutcome:
    """How a run ended.

    Attributes:
        records: The records of the grid's cells that exist, old and new.
        interrupted: Whether Ctrl-C ended it.
        ran, reused: Cells that ran now, and that were done before.
    """

    records: list[CellRecord]
    interrupted: bool
    ran: int
    reused: int


def run_grid(options: RunOptions, progress: Progress) -> GridOutcome:
    """Run what is missing of a grid; finished cells are stored as they finish.

    Raises:
        UsageError: Wrong names, unreadable facts, a results folder that cannot be written or is
            of a newer program: before any cell.
        NoSpaceError: The disk is full; finished cells are intact.
    """
    check_time_limit(options.timeout)
    compute = choose_compute(options.device, options.dtype)
    check_device_map(options, compute)
    store = ResultsStore(options.out)
    store.refuse_newer()
    store.ensure_writable()
    cells = plan_grid(options, store)
    todo = [cell for cell in cells if cell.runs]
    progress.grid(len(todo), len(cells) - len(todo))
    bench = Workbench(options, compute, progress.note)
    for line in opening_notes(cells, todo, bench):
        progress.note(line)
    try:
        ran, interrupted = _run(todo, bench, store, progress)
    finally:
        progress.close()
    found = [store.read(cell.cell_id) for cell in cells]
    records = [record for record in found if record]
    return GridOutcome(records, interrupted, ran, len(cells) - len(todo))


def _run(
    todo: Sequence[PlannedCell], bench: Workbench, store: ResultsStore, progress: Progress
) -> tuple[int, bool]:
    """Run cells; return how many ran, and whether Ctrl-C ended it."""
    count = min(worker_count(bench.options), len(todo))
    with Claims(store.folder) as claims:
        runs: LocalWorkers | Work = (
            LocalWorkers(bench, store, claims, progress, count)
            if count > 1
            else Work(bench, store, claims, progress)
        )
        try:
            runs.run(todo, wait=True)
        except KeyboardInterrupt:
            return runs.ran, True
        return runs.ran, False
