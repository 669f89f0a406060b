"""Run a grid, from its options to its records, in this process or in several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

from bench.config.options import Executor, RunOptions
from bench.execution.backend import Backend
from bench.execution.checks import check_machine
from bench.execution.leases import Claims
from bench.execution.local_backend import this_machine
from bench.execution.parallelism import limits, worker_count
from bench.execution.pool import WorkerPool
from bench.execution.ray_backend import ray_place
from bench.execution.telling import Announcement, announcing
from bench.models.device import Compute, compute_of
from bench.planning.candidates import is_tuned
from bench.planning.cell_groups import Group, groups_of
from bench.planning.first_steps import leak_notes
from bench.planning.grid import current_cells
from bench.planning.notices import opening_notes, stage_notes
from bench.planning.planned_cell import CellState, PlannedCell
from bench.progress.base import Progress
from bench.store.records import CellRecord, Status
from bench.store.store import ResultsStore
from bench.trackers.log import TrackerLog, tracker_log
from bench.trackers.registry import destinations
from tasks.division import FactSet

if TYPE_CHECKING:
    from bench.cell.context import CellContext
    from bench.execution.queue import Work


@dataclass(frozen=True)
class GridOutcome:
    """How a run ended.

    Attributes:
        records: The existing records of the grid's cells, old and new.
        interrupted: Whether Ctrl-C ended it.
        ran, reused: How many cells ran now, and how many had run before.
        failed: How many cells have no result. A candidate that diverged counts as tried, not as
            failed.
        lost: Names of cells that were given to workers and have no record.
    """

    records: list[CellRecord]
    interrupted: bool
    ran: int
    reused: int
    failed: int
    lost: tuple[str, ...] = ()

    @property
    def loss(self) -> str:
        """One line about lost cells and what to do; empty if none were lost."""
        if not self.lost:
            return ""
        count = f"{len(self.lost)} {'cell was' if len(self.lost) == 1 else 'cells were'}"
        return (
            f"{count} lost by the workers: {'; '.join(self.lost[:3])}"
            f"{'; ...' if len(self.lost) > 3 else ''}; run the same command again"
        )


def run_grid(options: RunOptions, progress: Progress) -> GridOutcome:
    """Run the missing cells of a grid; each is stored as soon as it finishes.

    The grid is planned once, here; workers receive the specifications of its cells. It runs in
    stages, each of which waits for the cells of the one before: the first steps of `--after`, in a
    tuned grid every candidate on the tuning set, then all others.

    Raises:
        UsageError: Before any cell: names are wrong, facts cannot be read, a tracker cannot be
            used, or the results folder cannot be written or belongs to a newer program.
        NoSpaceError: The disk is full; finished cells are intact.
    """
    compute = compute_of(options)
    check_machine(options, compute)
    store = ResultsStore(options.out)
    store.refuse_newer()
    store.ensure_writable()
    with announcing(store.folder) as announcement:
        try:
            with tracker_log(destinations(options.log_to), store, progress.note) as log:
                stages = _Stages(options, compute, store, progress, announcement, log)
                interrupted = stages.run()
                if not interrupted:
                    stages.log_all()
        finally:
            progress.close()
        if not interrupted:
            announcement.withdraw()
    return stages.outcome(interrupted)


@dataclass(frozen=True)
class _Stage:
    """Some cells of a grid, which need nothing of each other.

    Attributes:
        fact_set: What they train in a tuned grid.
        of_firsts: Whether others start from them.
    """

    fact_set: FactSet | None
    of_firsts: bool = False

    def has(self, cell: PlannedCell) -> bool:
        """Return whether a cell belongs to it."""
        return cell.spec.fact_set is self.fact_set and cell.is_first is self.of_firsts


@dataclass
class _Stages:
    """The stages of a grid: one, one more if something is tuned, and one more for first steps."""

    options: RunOptions
    compute: Compute
    store: ResultsStore
    progress: Progress
    announcement: Announcement
    log: TrackerLog
    cells: list[PlannedCell] = field(default_factory=list)
    handed: dict[str, PlannedCell] = field(default_factory=dict)
    ran: int = 0
    reused: int = 0
    _logged: set[str] = field(default_factory=set)

    def run(self) -> bool:
        """Run every stage; return whether Ctrl-C ended one."""
        groups = list(groups_of(self.options))
        stages = [_Stage(fact_set) for fact_set in (FactSet if is_tuned(self.options) else [None])]
        firsts = [_Stage(None, of_firsts=True)] if self.options.after else []
        return any(self._run_stage(stage, groups) for stage in (*firsts, *stages))

    def _run_stage(self, stage: _Stage, groups: Sequence[Group]) -> bool:
        self.cells = current_cells(groups, self.options, self.store)
        members = [cell for cell in self.cells if stage.has(cell)]
        todo = [cell for cell in members if cell.runs]
        reused = sum(cell.chosen for cell in members) - len(todo)
        self.reused += reused
        self.progress.grid(len(todo), reused)
        self.announcement.announce(self.cells)
        with self._place(todo) as place, Claims(self.store.folder) as claims:
            leaking = leak_notes(todo)
            opening = (*stage_notes(members), *opening_notes(members, todo), *leaking)
            for line in (*opening, *self._limits(todo)):
                self.progress.note(line)
            return bool(todo) and self._run_cells(todo, place, claims)

    def _run_cells(
        self, todo: Sequence[PlannedCell], place: Backend | None, claims: Claims
    ) -> bool:
        """Run cells; return whether Ctrl-C ended it."""
        self.handed |= {cell.cell_id: cell for cell in todo}
        runs: WorkerPool | Work
        if place:
            # What the report imports takes seconds; this process has time for that now.
            for name in ("bench.report.plots", "scipy.stats"):
                Thread(target=import_module, args=(name,), daemon=True).start()
            runs = WorkerPool(self.compute, self.store, claims, self.progress, place, self._log_new)
        else:
            from bench.execution.queue import Work  # takes seconds, which workers spend instead

            for line in self._bench.forgetting_notes(todo):
                self.progress.note(line)
            runs = Work(self._bench, self.store, claims, self.progress, self._log_new)
        try:
            runs.run(todo, wait=True)
        except KeyboardInterrupt:
            return True
        finally:
            self.ran += runs.ran
        return False

    def _log_new(self) -> None:
        """Log the cells that have been stored since the last time."""
        new = {
            cell_id
            for cell_id, cell in self.handed.items()
            if self.store.stamp(cell_id) not in (None, cell.stamp)
        }
        self.log.log(sorted(new - self._logged))
        self._logged |= new

    def log_all(self) -> None:
        """Log what the trackers still lack of the grid, such as cells of earlier runs."""
        grid = {cell.cell_id for cell in self.cells if cell.chosen}
        self.log.log(sorted(grid - self._logged))
        for line in self.log.told:
            self.progress.note(line)

    def _limits(self, todo: Sequence[PlannedCell]) -> list[str]:
        workers = worker_count(self.options, todo)
        return limits(self.options, self.compute, workers, todo) if todo else []

    @contextmanager
    def _place(self, todo: Sequence[PlannedCell]) -> Iterator[Backend | None]:
        """Yield where workers run; None if this process runs the cells itself."""
        options, count = self.options, worker_count(self.options, todo)
        if options.executor is Executor.RAY and todo:
            with ray_place(options, self.compute, self.progress.note, len(todo)) as cluster:
                yield cluster
        elif options.executor is Executor.LOCAL and count > 1:
            with this_machine(options, self.compute, count) as machine:
                yield machine
        else:
            yield None

    @cached_property
    def _bench(self) -> CellContext:
        from bench.cell.context import CellContext

        return CellContext(self.options, self.compute, self.progress.note)

    def outcome(self, interrupted: bool) -> GridOutcome:
        """Return how the run ended."""
        found = [self.store.read(cell.cell_id) for cell in self.cells if cell.chosen]
        records = [record for record in found if record]
        tried = (FactSet.TUNING, Status.DIVERGED)  # has a result where another was chosen
        ended = [(record.spec.fact_set, record.status) for record in records]
        failed = sum(end[1] is not Status.DONE and end != tried for end in ended)
        failed += sum(cell.state is CellState.FAILED for cell in self.cells if not cell.chosen)
        handed = () if interrupted else self.handed.values()
        lost = [c.label for c in handed if self.store.stamp(c.cell_id) in (None, c.stamp)]
        return GridOutcome(records, interrupted, self.ran, self.reused, failed, tuple(lost))
