"""The workers of a run: started, watched, restarted if they die, and ended.

Each is `python -m bench.execution.worker`: it receives the specifications of the cells and claims
cells as any process does. A `bench.execution.backend.Backend` decides where they run. This process
only shows what they report, and does not import torch. If a worker dies, its cell is run again; a
cell in which two workers died is recorded as failed.
"""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.execution.backend import Backend, WorkerExit, WorkerHandle
from bench.execution.leases import Claims, Process
from bench.execution.messages import Job, Kind, Message
from bench.failures import NoSpaceError
from bench.models.device import Compute
from bench.models.provenance import provenance
from bench.planning.planned_cell import PlannedCell
from bench.planning.resolver import Assignment
from bench.progress.base import Progress
from bench.store.records import CellRecord, Status
from bench.store.store import ResultsStore
from tasks.errors import UsageError

GRACE_SECONDS = 30.0
"""How long a worker may take to store its running cell when a run is interrupted."""

DEATHS = 2
"""After this many deaths in one cell, or before any first cell, the pool gives up."""


@dataclass(eq=False)
class Worker:
    """A worker of the run.

    Attributes:
        number: From 1; a restarted worker keeps it.
        running: Its handle, set as soon as it was started.
        process: Which process it is, once it has reported that.
        began: Whether it has begun a cell.
        dismissed: Whether it was told to stop, so that its death does not count.
    """

    number: int
    running: WorkerHandle | None = None
    process: Process | None = None
    began: bool = False
    dismissed: bool = False

    def dismiss(self) -> None:
        """Stop it."""
        self.dismissed = True
        if self.running is not None:
            self.running.stop()


@dataclass
class WorkerPool:
    """Runs cells in several processes.

    Attributes:
        compute: The device and dtype of the run; no model is loaded in this process.
        store, claims: Those of the results folder.
        progress: Shows what workers report.
        place: Where they run.
        after_cell: Called whenever a cell has ended and is stored.
        ran: How many cells have run.
    """

    compute: Compute
    store: ResultsStore
    claims: Claims
    progress: Progress
    place: Backend
    after_cell: Callable[[], None] = lambda: None
    ran: int = 0
    _todo: dict[str, PlannedCell] = field(default_factory=dict)
    _cautions: set[str] = field(default_factory=set)
    _lanes: dict[int, Progress] = field(default_factory=dict)
    _workers: list[Worker] = field(default_factory=list)
    _told: queue.Queue[tuple[Worker, Message | WorkerExit]] = field(default_factory=queue.Queue)
    _deaths: Counter[str] = field(default_factory=Counter)
    _early_deaths: int = 0
    _since: float = field(default_factory=time.monotonic)

    def run(self, todo: Sequence[PlannedCell], *, wait: bool) -> None:
        """Run cells as `Work.run` does; the last worker waits for cells that run elsewhere."""
        self._todo = {cell.cell_id: cell for cell in todo}
        try:
            for number in range(1, self.place.count + 1):
                self._start(number, wait=False)
            self._listen()
            if wait and self._unfinished():
                self._start(1, wait=True)
                self._listen()
        finally:
            # Each worker stores a note of its running cell and releases its claim.
            for worker in self._workers:
                worker.dismiss()
            until = time.monotonic() + GRACE_SECONDS
            for worker in self._workers:
                if worker.running is not None:
                    worker.running.end(max(0.0, until - time.monotonic()))
            self._workers.clear()

    def _start(self, number: int, *, wait: bool) -> None:
        job = Job(
            options=self.place.options(number),
            cells=tuple(map(Assignment.of, self._todo.values())),
            number=number,
            threads=self.place.threads,
            wait=wait,
        )
        worker = Worker(number)
        self._workers.append(worker)
        worker.running = self.place.start(job, lambda told: self._told.put((worker, told)))

    def _listen(self) -> None:
        while self._workers:
            worker, told = self._told.get()
            if isinstance(told, WorkerExit):
                self._ended(worker, told)
            else:
                self._show(worker, told)

    def _show(self, worker: Worker, message: Message) -> None:
        if message.kind is Kind.USAGE:
            raise UsageError(message.text)
        if message.kind is Kind.NO_SPACE:
            raise NoSpaceError(message.text)
        if message.kind is Kind.STARTED:
            worker.process = message.process
            return
        if message.kind is Kind.CAUTION:
            if message.text not in self._cautions:  # every worker reports it; shown once
                self._cautions.add(message.text)
                self.progress.note(message.text)
            return
        if worker.number not in self._lanes:
            self._lanes[worker.number] = self.progress.of_worker(worker.number)
        shown = self._lanes[worker.number]
        if message.kind is Kind.CELL:
            worker.began = True
            shown.cell(self.ran + 1, len(self._todo), message.text, message.steps or 1)
        elif message.kind is Kind.PHASE:
            shown.phase(message.text, message.steps)
        elif message.kind is Kind.STEP:
            shown.step(message.steps or 0, message.loss)
        elif message.kind is Kind.LINE:
            shown.note(message.text)
        else:
            shown.end_cell(message.text, message.detail)
            self._one_more()

    def _one_more(self) -> None:
        self.ran += 1
        each = (time.monotonic() - self._since) / self.ran
        left = len(self._todo) - self.ran
        self.progress.finished(self.ran, len(self._todo), each * left)
        self.after_cell()

    def _ended(self, worker: Worker, ended: WorkerExit) -> None:
        self._workers.remove(worker)  # not before: Ctrl-C must find all that live in the list
        died = f"worker {worker.number} died ({ended.death})"
        counts = bool(ended.death) and not worker.dismissed
        if self._unfinished():
            if counts:
                self._restart(worker, ended, died)
            return
        if counts:
            self.progress.note(f"{died}, but no cells are left to run")
        # Nothing is left: do not wait for workers that have not even begun.
        for waiting in self._workers:
            if not waiting.began:
                waiting.dismiss()

    def _restart(self, worker: Worker, ended: WorkerExit, died: str) -> None:
        self._early_deaths += not (worker.began or ended.lost)
        if self._early_deaths >= DEATHS:
            raise UsageError(f"{died} before its first cell; its output is above")
        for cell_id in self.claims.remove_of(worker.process) if worker.process else []:
            self._deaths[cell_id] += 1
            if self._deaths[cell_id] >= DEATHS and cell_id in self._todo:
                self._give_up(self._todo[cell_id], ended)
        self.progress.note(f"{died}; restarting it")
        self._start(worker.number, wait=False)

    def _give_up(self, cell: PlannedCell, ended: WorkerExit) -> None:
        """Record a cell as failed because several workers died in it."""
        if not self.claims.take(cell.cell_id):
            return  # another worker was faster, and will report it
        reason = f"{DEATHS} workers died in this cell ({ended.death}); memory may have run out"
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        record = CellRecord(
            cell_id=cell.cell_id,
            spec=cell.spec,
            status=Status.FAILED,
            reason=reason,
            provenance={**provenance(self.compute), "finished": finished},
        )
        self.store.write(record, [])
        self.claims.release(cell.cell_id)
        self.progress.note(f"failed: {cell.label}: {reason}")
        self._one_more()

    def _unfinished(self) -> bool:
        cells = self._todo.items()
        return any(self.store.stamp(cell_id) == cell.stamp for cell_id, cell in cells)
