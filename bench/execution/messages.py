"""What a worker is told and what it tells: one JSON object a line."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.execution.leases import Process
from bench.planning.resolver import Assignment


class Job(BaseModel):
    """What a worker is to do.

    Attributes:
        options: The run's `RunOptions`, with the worker's own device.
        cells: What to run.
        number: The worker's, from 1.
        threads: It computes with.
        wait: Whether to wait for cells that run elsewhere.
    """

    model_config = ConfigDict(frozen=True)

    options: dict[str, Any]
    cells: tuple[Assignment, ...]
    number: int
    threads: int
    wait: bool


class Kind(StrEnum):
    """What a message says."""

    STARTED = "started"
    CAUTION = "caution"
    CELL = "cell"
    PHASE = "phase"
    STEP = "step"
    LINE = "line"
    ENDED = "ended"
    USAGE = "usage"
    NO_SPACE = "no space"


class Message(BaseModel):
    """One line of a worker to the process that started it.

    Attributes:
        kind, text: What it says; with `ENDED` the cell's status.
        detail: With `ENDED`: one line about the cell.
        steps: With `PHASE`: how many it has; with `STEP`: how many are over.
        loss: With `STEP`: the latest.
        process: With `STARTED`: who will claim cells.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    text: str = ""
    detail: str = ""
    steps: int | None = None
    loss: float | None = None
    process: Process | None = None
