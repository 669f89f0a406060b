"""Worker processes of this machine: started, listened to, started again, ended.

Each is `python -m bench.worker`: it plans the same grid, and claims cells as any process does.
This side only shows what they tell. A worker that dies loses its cell in flight, which is run
again; a cell in which two workers died is recorded as failed.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.cell import PlannedCell
from bench.claims import Claims
from bench.device import provenance
from bench.failures import NoSpaceError
from bench.progress import Progress, duration
from bench.records import CellRecord, Status
from bench.store import ResultsStore
from bench.work import label
from bench.workbench import Workbench
from bench.worker import Job, Kind, Message
from bench.worker_count import threads_each
from tasks.errors import UsageError

GRACE_SECONDS = 30.0
"""So long a worker may take to store the cell in flight when a run is interrupted."""

DEATHS = 2
"""So many workers may die in one cell, or before a first cell."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(eq=False)
class Worker:
    """A worker process; `started` once it has begun a cell."""

    number: int
    process: subprocess.Popen[str]
    started: bool = False


@dataclass
class LocalWorkers:
    """Runs cells in several processes.

    Attributes:
        bench: Options and compute of the run; no model is loaded in this process.
        store, claims: Of the results folder.
        progress: Receives what workers tell.
        count: How many workers.
        ran: Cells that ran.
    """

    bench: Workbench
    store: ResultsStore
    claims: Claims
    progress: Progress
    count: int
    ran: int = 0
    _todo: dict[str, PlannedCell] = field(default_factory=dict)
    _workers: list[Worker] = field(default_factory=list)
    _told: queue.Queue[tuple[Worker, Message | None]] = field(default_factory=queue.Queue)
    _deaths: Counter[str] = field(default_factory=Counter)
    _early_deaths: int = 0
    _since: float = field(default_factory=time.monotonic)

    def run(self, todo: Sequence[PlannedCell], *, wait: bool) -> None:
        """Run cells as `Work.run` does; the last worker waits for what runs elsewhere."""
        self._todo = {cell.cell_id: cell for cell in todo}
        try:
            for number in range(1, self.count + 1):
                self._start(number, wait=False)
            self._listen()
            if wait and any(self._unfinished()):
                self._start(1, wait=True)
                self._listen()
        finally:
            self._end()

    def _start(self, number: int, *, wait: bool) -> None:
        job = Job(
            options=self._options_of(number),
            stamps={cell_id: cell.stamp for cell_id, cell in self._todo.items()},
            number=number,
            threads=threads_each(self.count),
            wait=wait,
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(job.threads))},
            start_new_session=True,  # Ctrl-C reaches this process, which ends them in order
        )
        worker = Worker(number, process)
        self._workers.append(worker)
        threading.Thread(target=self._hear, args=(worker,), daemon=True).start()
        assert process.stdin is not None
        try:
            process.stdin.write(job.model_dump_json() + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it died at once, which is noticed where it is heard

    def _options_of(self, number: int) -> dict[str, object]:
        options = self.bench.options.model_dump(mode="json")
        if self.bench.compute.device.startswith("cuda") and ":" not in self.bench.options.device:
            import torch

            options["device"] = f"cuda:{(number - 1) % torch.cuda.device_count()}"
        return options

    def _hear(self, worker: Worker) -> None:
        assert worker.process.stdout is not None
        for line in worker.process.stdout:
            self._told.put((worker, Message.model_validate_json(line)))
        self._told.put((worker, None))

    def _listen(self) -> None:
        while self._workers:
            worker, message = self._told.get()
            if message is None:
                self._ended(worker)
            else:
                self._show(worker, message)

    def _show(self, worker: Worker, message: Message) -> None:
        if message.kind is Kind.USAGE:
            raise UsageError(message.text)
        if message.kind is Kind.NO_SPACE:
            raise NoSpaceError(message.text)
        if message.kind is Kind.CELL:
            worker.started = True
        text = message.text
        if message.kind is Kind.ENDED:
            self.ran += 1
            self.progress.finished(self.ran, len(self._todo))
            text += f" ({self.ran} of {len(self._todo)}{self._left()})"
        self.progress.note(f"worker {worker.number}: {text}")

    def _left(self) -> str:
        left = len(self._todo) - self.ran
        seconds = (time.monotonic() - self._since) / self.ran * left
        return f", about {duration(seconds)} left" if left else ""

    def _ended(self, worker: Worker) -> None:
        code = worker.process.wait()
        self._workers.remove(worker)  # not before: Ctrl-C while waiting must find it in the list
        if code == 0:
            return
        died = f"worker {worker.number} died ({_told_code(code)})"
        self._early_deaths += not worker.started
        if self._early_deaths >= DEATHS:
            raise UsageError(f"{died} before its first cell; what it said is above")
        for cell_id in self.claims.cells_of(worker.process.pid):
            self._deaths[cell_id] += 1
            if self._deaths[cell_id] >= DEATHS and cell_id in self._todo:
                self._give_up(self._todo[cell_id], code)
        self.progress.note(f"{died}: started again")
        self._start(worker.number, wait=False)

    def _give_up(self, cell: PlannedCell, code: int) -> None:
        """Record a cell as failed in which worker after worker died."""
        reason = f"{DEATHS} workers died in this cell ({_told_code(code)}): is memory short?"
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        record = CellRecord(
            cell_id=cell.cell_id,
            spec=cell.spec,
            status=Status.FAILED,
            reason=reason,
            provenance={**provenance(self.bench.compute), "finished": finished},
        )
        if self.claims.take(cell.cell_id):
            self.store.write(record, [])
            self.claims.release(cell.cell_id)
            self.ran += 1
            self.progress.note(f"failed: {label(cell)}: {reason}")

    def _unfinished(self) -> list[str]:
        return [i for i, cell in self._todo.items() if self.store.stamp(i) == cell.stamp]

    def _end(self) -> None:
        """End every worker: each stores a note of its cell in flight and gives its claim back."""
        for worker in self._workers:
            worker.process.terminate()
        until = time.monotonic() + GRACE_SECONDS
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._workers.clear()


def _told_code(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"
    except ValueError:
        return f"signal {-code}"
