"""Workers as processes of this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.config.options import RunOptions
from bench.execution.backend import OnMessage, WorkerExit
from bench.execution.messages import Job
from bench.execution.parallelism import threads_each
from bench.execution.worker_process import WorkerProcess
from bench.models.device import Compute

END_SECONDS = 5.0
"""How long a process without a job may take to end."""


@contextmanager
def this_machine(run: RunOptions, compute: Compute, count: int) -> Iterator[LocalBackend]:
    """Start processes that each wait for a job; end those that get none."""
    idle = [WorkerProcess(threads_each(count)) for _ in range(count)]
    try:
        yield LocalBackend(run, compute, count, idle)
    finally:
        for process in idle:
            process.stop()
        for process in idle:
            process.end(END_SECONDS)


@dataclass(frozen=True)
class LocalBackend:
    """A `Backend`: processes here, which share its GPUs or its cores.

    Attributes:
        run: The options of the run.
        compute: The device and dtype of the run.
        count: How many workers.
        idle: Processes that have no job yet.
    """

    run: RunOptions
    compute: Compute
    count: int
    idle: list[WorkerProcess]

    @property
    def threads(self) -> int:
        """How many threads each worker computes with: an equal share of the cores."""
        return threads_each(self.count)

    def options(self, number: int) -> dict[str, object]:
        """Return the run's options; workers take the GPUs in turn."""
        # The dtype is part of what a cell is: a GPU of another kind must not choose it again.
        options = {**self.run.model_dump(mode="json"), "dtype": self.compute.dtype.value}
        if self.compute.device.startswith("cuda") and ":" not in self.run.device:
            import torch

            options["device"] = f"cuda:{(number - 1) % torch.cuda.device_count()}"
        return options

    def start(self, job: Job, hear: OnMessage) -> WorkerProcess:
        """Give the job to a waiting process, or to a new one."""
        process = self.idle.pop() if self.idle else WorkerProcess(self.threads)

        def give_and_hear() -> None:
            # Giving a job longer than a pipe's buffer blocks until the process has imported.
            process.give(job)
            for message in process.messages():
                hear(message)
            hear(WorkerExit(process.death()))

        threading.Thread(target=give_and_hear, daemon=True).start()
        return process
