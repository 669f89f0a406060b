"""A cell as the live view shows it: its names, its state, and what is known of it so far."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from bench.redaction import safe_text
from bench.store.records import CellSpec, Epoch, Phase, PhaseName, Status
from bench.store.running import CellProgress, NamedCell

DIGITS = 4
"""Significant digits of a loss."""


class State(StrEnum):
    """What has become of a cell."""

    RUNNING = "running"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    WAITING = "waiting"
    DONE = "done"


class Learned(BaseModel):
    """The one score of a cell that is shown."""

    model_config = ConfigDict(frozen=True)

    reliability: float | None = None


class Ended(BaseModel):
    """What is read of a record."""

    model_config = ConfigDict(frozen=True)

    cell_id: str
    spec: CellSpec
    status: Status
    reason: str = ""
    traceback: str = ""
    curve: tuple[Epoch, ...] = ()
    phases: dict[PhaseName, Phase] = Field(default_factory=dict)
    metrics: Learned | None = None

    @property
    def seconds(self) -> float | None:
        """How long it ran; None if that is unknown."""
        return sum(phase.seconds for phase in self.phases.values()) or None


@dataclass(frozen=True, slots=True)
class ShownCell:
    """One line of the live view; every text is safe to show.

    Attributes:
        id: The id of its record.
        state: What has become of it.
        method, model, task, seed, rate, stage: What it is called.
        status: How it ended, in the words of its record; empty before.
        reason: Why it has no result.
        traceback: Whether its record has one.
        seconds: How long it ran; of a running cell None.
        score: Reliability, from 0 to 1.
        losses: What the curve shows, `[points, 2]`: steps (epochs of a finished cell) and
            losses.
        started, phase_started: Of a running cell, in Unix seconds.
        phase, done, steps, loss: How far it is.
        together: How many cells run with it, itself included.
    """

    id: str
    state: State
    method: str
    model: str
    task: str
    seed: int | None
    rate: float | None
    stage: str = ""
    status: str = ""
    reason: str = ""
    traceback: bool = False
    seconds: float | None = None
    score: float | None = None
    losses: tuple[tuple[int, float], ...] = ()
    started: float | None = None
    phase_started: float | None = None
    phase: str = ""
    done: int = 0
    steps: int | None = None
    loss: float | None = None
    together: int = 1


def ended_cell(record: Ended) -> ShownCell:
    """Return a cell that has a record."""
    score = record.metrics.reliability if record.metrics else None
    losses = [(e.epoch, e.loss) for e in record.curve if e.loss is not None]
    numbers = (score, record.seconds, record.spec.learning_rate, *(loss for _, loss in losses))
    # Our own records have none; JSON knows none, and one cell must not end the whole view.
    if not all(math.isfinite(number) for number in numbers if number is not None):
        return damaged_cell(record.cell_id, "a number in it is not finite")
    return _shown(
        NamedCell.of(record.cell_id, record.spec),
        _STATES.get(record.status, State.FAILED),
        status=record.status.value.replace("_", " "),
        reason=safe_text(record.reason),
        traceback=bool(record.traceback),
        seconds=record.seconds,
        score=score,
        losses=_rounded(losses),
    )


_STATES = {Status.DONE: State.DONE, Status.INTERRUPTED: State.INTERRUPTED}


def damaged_cell(cell_id: str, problem: str) -> ShownCell:
    """Return a cell whose record cannot be read."""
    reason = f"its record cannot be read: {problem}"
    return ShownCell(
        safe_text(cell_id), State.FAILED, "", "", "", None, None, reason=safe_text(reason)
    )


def running_cell(names: NamedCell, told: CellProgress | None) -> ShownCell:
    """Return a cell that a living process has claimed."""
    if told is None:
        return _shown(names, State.RUNNING)
    return _shown(
        names,
        State.RUNNING,
        losses=_rounded(told.losses),
        started=told.started,
        phase_started=told.phase_started,
        phase=safe_text(told.phase),
        done=told.done,
        steps=told.steps,
        loss=told.loss,
        together=len(told.cells),
    )


def stopped_cell(names: NamedCell, told: CellProgress | None) -> ShownCell:
    """Return a cell whose process is gone, and left no record."""
    where = f" in the phase {told.phase}" if told and told.phase else ""
    reason = safe_text(f"its process ended{where} without a record")
    losses = _rounded(told.losses) if told else ()
    return _shown(names, State.INTERRUPTED, reason=reason, losses=losses)


def waiting_cell(names: NamedCell) -> ShownCell:
    """Return a cell that a run has yet to run."""
    return _shown(names, State.WAITING)


def _shown(names: NamedCell, state: State, **more: object) -> ShownCell:
    return ShownCell(
        id=safe_text(names.cell_id),
        state=state,
        method=safe_text(names.method),
        model=safe_text(names.model),
        task=safe_text(names.task),
        seed=names.seed,
        rate=names.learning_rate,
        stage=safe_text(names.stage),
        **more,  # type: ignore[arg-type]
    )


def _rounded(losses: Iterable[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    return tuple((step, float(f"{loss:.{DIGITS}g}")) for step, loss in losses)
