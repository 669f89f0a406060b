"""Workers on a Ray cluster: each is a process that belongs to an actor, which Ray places.

The actor reserves a GPU or some cores of a machine and runs the same
`python -m bench.execution.worker` there as on one machine. If the machine is lost, so is the actor,
and the worker is restarted elsewhere.
"""

from __future__ import annotations

import platform
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.config.options import RunOptions
from bench.execution.backend import OnMessage, WorkerExit
from bench.execution.messages import Job, Kind, Message
from bench.execution.ray_cluster import Share, ray_cluster
from bench.execution.worker_process import WorkerProcess
from bench.failures import first_line
from bench.models.device import Compute

PLACED_SECONDS = 60.0
"""After this long, a message says that a worker is waiting for a free machine."""

RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class SharedFolder:
    """The results folder as every node must see it.

    Attributes:
        start: The folder that paths in the options are relative to.
        marker: A file in the results folder that this run wrote.
    """

    start: Path
    marker: Path

    def problem(self) -> str:
        """Describe what this machine cannot see; empty if it sees the folder."""
        if (self.start / self.marker).is_file():
            return ""
        out = self.start / self.marker.parent
        return (
            f"node {platform.node()} cannot see the results folder '{out}': start the run in a "
            "folder that all nodes share under the same path"
        )


@contextmanager
def shared_folder(out: Path) -> Iterator[SharedFolder]:
    """Mark a results folder so that other machines can check that they see the same one."""
    shared = SharedFolder(Path.cwd(), out / f".shared-{uuid.uuid4().hex}")
    shared.marker.touch()
    try:
        yield shared
    finally:
        shared.marker.unlink(missing_ok=True)


class NodeWorker:
    """A worker process on a node; Ray makes an actor of this class.

    When the actor ends, for whatever reason, the worker's input ends, and so does the worker.
    """

    def __init__(self, job: Job, shared: SharedFolder) -> None:
        self._told: queue.Queue[Message | WorkerExit] = queue.Queue()
        self._process: WorkerProcess | None = None
        problem = shared.problem()
        if problem:
            self._told.put(Message(kind=Kind.USAGE, text=problem))
            self._told.put(WorkerExit())
            return
        self._process = WorkerProcess(job.threads, folder=shared.start, capture=True)
        threading.Thread(target=self._listen, args=(self._process, job), daemon=True).start()

    def node(self) -> str:
        """Return the id of the node that the worker runs on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def hear(self) -> list[Message | WorkerExit]:
        """Wait for the worker's next messages, or its exit."""
        told = [self._told.get()]
        with suppress(queue.Empty):
            while True:
                told.append(self._told.get_nowait())
        return told

    def stop(self) -> None:
        """Ask the worker to end."""
        if self._process is not None:
            self._process.stop()

    def _listen(self, process: WorkerProcess, job: Job) -> None:
        process.give(job)
        errors = threading.Thread(target=self._listen_to_errors, args=(process,), daemon=True)
        errors.start()
        for message in process.messages():
            self._told.put(message)
        death = process.death()
        errors.join()
        self._told.put(WorkerExit(death))

    def _listen_to_errors(self, process: WorkerProcess) -> None:
        for line in process.errors():
            self._told.put(Message(kind=Kind.LINE, text=line))


@dataclass(eq=False)
class RayWorker:
    """A worker on the cluster, see `bench.execution.backend.WorkerHandle`.

    Attributes:
        actor: Ray's handle of its `NodeWorker`.
        hear: Receives its messages.
        needs: What it needs of a machine, such as `1 GPU`.
    """

    actor: Any
    hear: OnMessage
    needs: str
    _node: str = ""
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; kill it if it has not been placed yet."""
        import ray

        if self._node:
            self.actor.stop.remote()
        else:
            ray.kill(self.actor)

    def end(self, seconds: float) -> None:
        """Wait up to `seconds` for it to end, then kill it."""
        import ray

        self._thread.join(seconds)
        ray.kill(self.actor)  # its worker's input ends too
        self._thread.join(RETRY_SECONDS)

    def _run(self) -> None:
        import ray

        try:
            self._wait_for_place()
            ended = self._listen()
        except ray.exceptions.RayError as error:
            ended = self._death(error)
        ray.kill(self.actor)  # gives its GPU or its cores back
        self.hear(ended)

    def _wait_for_place(self) -> None:
        import ray

        node = self.actor.node.remote()
        placed, _ = ray.wait([node], timeout=PLACED_SECONDS)
        if not placed:
            text = f"waiting for a machine of the cluster with {self.needs} free"
            self.hear(Message(kind=Kind.LINE, text=text))
        self._node = ray.get(node)

    def _listen(self) -> WorkerExit:
        """Pass on the worker's messages until it has ended."""
        import ray

        while True:
            try:
                told = ray.get(self.actor.hear.remote())
            except ray.exceptions.ActorUnavailableError:  # the network: it may come back
                time.sleep(RETRY_SECONDS)
                continue
            for each in told:
                if isinstance(each, WorkerExit):
                    return each
                self.hear(each)

    def _death(self, error: Exception) -> WorkerExit:
        import ray

        if not self._node:
            # Ray puts what a constructor raised into the last line.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return WorkerExit(f"Ray could not start it: {lines[-1].strip()}")
        if self._node not in {node["NodeID"] for node in ray.nodes() if node["Alive"]}:
            return WorkerExit("its node was lost", lost=True)
        return WorkerExit(f"its Ray actor ended: {first_line(error)}")


@dataclass(frozen=True)
class RayPlace:
    """A `bench.execution.backend.Backend`: the machines of a Ray cluster.

    Attributes:
        run: The options of the run.
        compute: Its device and dtype.
        count: How many workers.
        share: What each worker gets of a machine.
        shared: The results folder.
    """

    run: RunOptions
    compute: Compute
    count: int
    share: Share
    shared: SharedFolder

    @property
    def threads(self) -> int:
        """How many threads each worker computes with, the same on every machine."""
        return self.share.threads

    def options(self, number: int) -> dict[str, object]:
        """Return the run's options; Ray shows each worker only its own GPU."""
        device = self.compute.device.partition(":")[0]
        # Resolved here: on another machine `auto` might mean another dtype, hence other cells.
        return {**self.run.model_dump(mode="json"), "device": device, "dtype": self.compute.dtype}

    def start(self, job: Job, hear: OnMessage) -> RayWorker:
        """Let Ray start a worker wherever there is room for it."""
        import ray

        actor = ray.remote(NodeWorker).options(
            num_cpus=self.share.cpus,
            num_gpus=self.share.gpus,
            max_concurrency=3,  # it is stopped while it is heard
            scheduling_strategy="SPREAD",
        )
        return RayWorker(actor.remote(job, self.shared), hear, self._needs())

    def _needs(self) -> str:
        amount, kind = (self.share.gpus, "GPU") if self.share.gpus else (self.share.cpus, "core")
        return f"{amount:g} {kind}{'s' if amount > 1 else ''}"

    def __str__(self) -> str:
        threads = f"{self.threads} {'thread' if self.threads == 1 else 'threads'}"
        count = f"{self.count} {'worker' if self.count == 1 else 'workers'}"
        return f"Ray: {count}, each with {self._needs()} and {threads}"


@contextmanager
def ray_place(
    run: RunOptions, compute: Compute, say: Callable[[str], None], cells: int
) -> Iterator[RayPlace]:
    """Connect to the Ray cluster of a run, or start one here.

    Args:
        run: The options of the run.
        compute: Its device and dtype.
        say: Receives lines to show to the user.
        cells: How many cells will run; there are no more workers than that.

    Raises:
        UsageError: There is no such cluster, or the run needs a GPU and it has none.
    """
    on_gpu = compute.device.startswith("cuda")
    with ray_cluster(run.ray_address) as cluster, shared_folder(run.out) as shared:
        count = min(cluster.worker_count(run.workers, on_gpu=on_gpu), cells)
        share = cluster.share(count, on_gpu=on_gpu)
        place = RayPlace(run, compute, count, share, shared)
        say(str(place))
        if cluster.gpus and run.device == "auto" and not on_gpu:
            say("the Ray cluster has GPUs that --device auto does not see; --device cuda uses them")
        yield place
