"""Connect to a Ray cluster, or start one on this machine and stop it afterwards."""

from __future__ import annotations

import math
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import ROOT, child_environment
from bench.execution.parallelism import threads_asked
from bench.failures import first_line
from bench.models.device import cores
from tasks.errors import UsageError

OBJECT_STORE_BYTES = 80 * 2**20
"""Only messages pass through Ray, but it refuses less than 75 MiB."""

ANSWER_SECONDS = 10.0
"""How long to wait for a cluster's answer; Ray itself would try for minutes."""

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a hint at it is printed
}


@dataclass(frozen=True)
class Node:
    """The cores and GPUs of a machine that Ray may use."""

    cpus: int
    gpus: int


@dataclass(frozen=True)
class Share:
    """What each of several equal workers gets.

    Attributes:
        cpus, gpus: As Ray counts them, which may be parts of one.
        threads: How many threads it computes with.
    """

    cpus: float
    gpus: float
    threads: int


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        nodes: Its machines.
    """

    nodes: tuple[Node, ...]

    @property
    def gpus(self) -> int:
        """How many GPUs all machines have."""
        return sum(node.gpus for node in self.nodes)

    def worker_count(self, asked: str, *, on_gpu: bool) -> int:
        """Return how many workers run; `auto` means one per GPU, or one per machine without GPUs.

        Raises:
            UsageError: Workers need GPUs, and there are none.
        """
        if on_gpu and not self.gpus:
            raise UsageError("--device cuda: the Ray cluster has no GPU; use --device cpu")
        if asked != "auto":
            return int(asked)
        return self.gpus if on_gpu else len(self.nodes)

    def share(self, workers: int, *, on_gpu: bool) -> Share:
        """Return what each of `workers` workers gets; OMP_NUM_THREADS takes precedence."""
        if not on_gpu:
            share = self._of_cores(workers)
            return Share(share.cpus, 0, threads_asked() or share.threads)
        # One GPU, or an equal part of one; Ray places by GPUs alone.
        on_each = math.ceil(workers / self.gpus)
        threads = min(node.cpus // (node.gpus * on_each) for node in self.nodes if node.gpus)
        return Share(0, _part(on_each), threads_asked() or max(1, threads))

    def _of_cores(self, workers: int) -> Share:
        """As many cores as each worker can have on one machine, or an equal part of a core."""
        most = max((node.cpus for node in self.nodes), default=0)
        for threads in range(most, 0, -1):
            if sum(node.cpus // threads for node in self.nodes) >= workers:
                return Share(threads, 0, threads)
        every = sum(node.cpus for node in self.nodes)
        return Share(_part(math.ceil(workers / every)) if every else 0, 0, 1)


def _part(of: int) -> float:
    return math.floor(10_000 / of) / 10_000  # Ray counts in ten-thousandths


@contextmanager
def ray_cluster(address: str | None) -> Iterator[Cluster]:
    """Connect to the cluster at an address (`auto`: that of this machine), or start one here.

    Raises:
        UsageError: There is none, or it cannot be used.
    """
    os.environ.update(_ENVIRONMENT)
    if address is None:
        os.environ.update(child_environment())  # what Ray starts here inherits it
    import ray

    # A folder of its own: nobody else's Ray is found, and nothing stays. Short: it is the start of
    # the paths of sockets, which may have 107 characters.
    short = "/tmp" if Path("/tmp").is_dir() else None
    folder = None if address else Path(tempfile.mkdtemp(prefix="ray-", dir=short))
    try:
        with _own_sigterm():
            _connect(address, folder)
        resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        nodes = (Node(int(has.get("CPU", 0)), int(has.get("GPU", 0))) for has in resources)
        yield Cluster(tuple(nodes))
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _connect(address: str | None, folder: Path | None) -> None:
    import ray

    started_here: dict[str, Any] = {
        "num_cpus": cores(),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": str(folder),
    }
    try:
        if address and address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
        # Ray puts the folder that it is called in first on its workers' path. That of the user may
        # hold modules with the names of ours; this program's own is right.
        with chdir(ROOT):
            ray.init(
                address=address or "local",
                logging_level="ERROR",
                log_to_driver=False,
                **(started_here if folder else {}),
            )
    except Exception as error:  # Ray raises plain ones, too
        tried = f"--ray-address '{address}': cannot connect to" if address else "cannot start"
        raise UsageError(f"{tried} Ray: {first_line(error)}") from error


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Restore the SIGTERM handler: Ray's own would exit without ending cells in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
