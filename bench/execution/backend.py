"""Where workers run: on this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from bench.execution.messages import Job, Message


class WorkerExit(NamedTuple):
    """The last that is heard of a worker.

    Attributes:
        death: What it died of, empty when it ended well.
        lost: Whether its whole machine was lost, which is not the worker's fault.
    """

    death: str = ""
    lost: bool = False


OnMessage = Callable[[Message | WorkerExit], None]
"""Receives, from any thread, what a worker tells, and at last that it has ended."""


class WorkerHandle(Protocol):
    """A worker that was started."""

    def stop(self) -> None:
        """Ask it to note its cell in flight, to give its claim back and to end; do not wait."""
        ...

    def end(self, seconds: float) -> None:
        """Wait so long for it to end, then kill it."""
        ...


class Backend(Protocol):
    """Where workers run."""

    @property
    def count(self) -> int:
        """How many run at a time."""
        ...

    @property
    def threads(self) -> int:
        """How many threads each computes with."""
        ...

    def options(self, number: int) -> dict[str, object]:
        """Return the run's options with the device of worker `number`, from 1."""
        ...

    def start(self, job: Job, hear: OnMessage) -> WorkerHandle:
        """Start a worker; return at once."""
        ...
