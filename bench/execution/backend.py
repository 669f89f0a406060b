"""The interface of places where workers run: this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from bench.execution.messages import Job, Message


class WorkerExit(NamedTuple):
    """The last report about a worker.

    Attributes:
        death: Why it died; empty if it ended normally.
        lost: Whether its whole machine was lost, which is not the worker's fault.
    """

    death: str = ""
    lost: bool = False


OnMessage = Callable[[Message | WorkerExit], None]
"""Receives a worker's messages, from any thread, and finally its exit."""


class WorkerHandle(Protocol):
    """A started worker."""

    def stop(self) -> None:
        """Ask it to store a note of its running cell, release its claim and end; do not wait."""

    def end(self, seconds: float) -> None:
        """Wait up to `seconds` for it to end, then kill it."""


class Backend(Protocol):
    """A place where workers run."""

    @property
    def count(self) -> int:
        """How many workers run at the same time."""

    @property
    def threads(self) -> int:
        """How many threads each worker computes with."""

    def options(self, number: int) -> dict[str, object]:
        """Return the run's options with the device of worker `number`, from 1."""

    def start(self, job: Job, hear: OnMessage) -> WorkerHandle:
        """Start a worker; return at once."""
