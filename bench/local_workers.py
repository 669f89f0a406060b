"""Workers as processes of this machine."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from bench.device import Compute
from bench.options import RunOptions
from bench.worker import Job
from bench.worker_count import threads_each
from bench.worker_process import WorkerProcess
from bench.workers import Ended, Hear


@dataclass(frozen=True)
class ThisMachine:
    """A `Place`: processes here, which share its GPUs or its cores.

    Attributes:
        run: The options of the run.
        compute: What the run computes on.
        count: How many workers.
    """

    run: RunOptions
    compute: Compute
    count: int

    @property
    def threads(self) -> int:
        """An equal share of the cores."""
        return threads_each(self.count)

    def options(self, number: int) -> dict[str, object]:
        """Return the run's options; workers take the GPUs in turn."""
        options = self.run.model_dump(mode="json")
        if self.compute.device.startswith("cuda") and ":" not in self.run.device:
            import torch

            options["device"] = f"cuda:{(number - 1) % torch.cuda.device_count()}"
        return options

    def start(self, job: Job, hear: Hear) -> WorkerProcess:
        """Start a worker process."""
        process = WorkerProcess(job)
        threading.Thread(target=_hear, args=(process, hear), daemon=True).start()
        return process


def _hear(process: WorkerProcess, hear: Hear) -> None:
    for message in process.messages():
        hear(message)
    hear(Ended(process.death()))
