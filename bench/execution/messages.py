"""The job that a worker receives and the messages that it sends, one line of JSON each."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.execution.leases import Process
from bench.planning.resolver import Assignment


class Job(BaseModel):
    """What a worker has to do.

    Attributes:
        options: The run's `RunOptions`, with the worker's own device.
        cells: The cells to run.
        number: The worker's number, from 1.
        threads: How many threads it computes with.
        wait: Whether to wait for cells that run elsewhere.
    """

    model_config = ConfigDict(frozen=True)

    options: dict[str, Any]
    cells: tuple[Assignment, ...]
    number: int
    threads: int
    wait: bool


class Kind(StrEnum):
    """What a message reports."""

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
    """One line from a worker to the process that started it.

    Attributes:
        kind, text: What it reports; for `ENDED`, the cell's status.
        detail: For `ENDED`: one line about the cell.
        steps: For `CELL`: how many cells start; for `PHASE`: how many steps it has; for `STEP`: how
            many are finished.
        loss: For `STEP`: the latest loss.
        process: For `STARTED`: the process that will claim cells.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    text: str = ""
    detail: str = ""
    steps: int | None = None
    loss: float | None = None
    process: Process | None = None
