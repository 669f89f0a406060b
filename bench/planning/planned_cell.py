"""One cell of a grid: what identifies it, what it needs, and its state."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from bench.models.registry import ModelSource
from bench.planning.task_data import TaskData
from bench.store.records import CellSpec, Checkpoint, Evaluated, Forgetting, WeightChange
from methods.recipe import Recipe
from tasks.fact import Fact
from tasks.forgetting.names import ForgettingName

if TYPE_CHECKING:
    from bench.store.store import Stamp


class CellState(StrEnum):
    """What a run will do with a cell."""

    DONE = "done"
    MISSING = "missing"
    LACKS = "incomplete"
    FAILED = "failed"
    OPEN = "to be chosen"


@dataclass(frozen=True)
class PlannedCell:
    """One cell of the grid.

    Attributes:
        spec: What identifies it.
        state: What a run will do with it.
        why: What it lacks, why its record is damaged, or why no candidate is chosen.
        source: Its model.
        recipe: Its method.
        data: The facts of its task.
        calibration: The facts that its adapter calibrates on.
        replay: The facts that its replay may train.
        forgetting: The forgetting tasks to measure.
        evaluate: What learning is measured on besides.
        earlier, earlier_path, earlier_evaluated: What an earlier run of an incomplete cell
            measured.
        stamp: The stamp of its record when it was planned; if that has changed since, another
            process has written the record.
        damaged: Whether its record exists but cannot be read.
        chosen: Whether its candidate is known; if not, `spec` is that of the longest candidate.
        first: The cell of the first step that it starts from; None if there is none.
        is_first: Whether others start from it: its adapter is saved, whatever the run asks for.
        knowledge, knowledge_digest: Facts on which `--explain` measures what must be kept, and
            their digest; empty without it.
        earlier_change: What an earlier run of an incomplete cell measured for `--explain`.
    """

    spec: CellSpec
    state: CellState
    why: str
    source: ModelSource
    recipe: Recipe
    data: TaskData
    calibration: tuple[Fact, ...]
    forgetting: tuple[ForgettingName, ...]
    evaluate: tuple[ForgettingName, ...] = ()
    earlier: tuple[Forgetting, ...] = ()
    earlier_path: tuple[Checkpoint, ...] = ()
    earlier_evaluated: tuple[Evaluated, ...] = ()
    stamp: Stamp | None = None
    damaged: bool = False
    chosen: bool = True
    first: PlannedCell | None = None
    is_first: bool = False
    replay: tuple[Fact, ...] = ()
    knowledge: tuple[Fact, ...] = ()
    knowledge_digest: str = ""
    earlier_change: WeightChange | None = None

    @property
    def runs(self) -> bool:
        """Whether there is something to run."""
        return self.state in (CellState.MISSING, CellState.LACKS)

    @property
    def label(self) -> str:
        """The cell's name in messages."""
        spec = self.spec
        stage = [spec.fact_set.value] if spec.fact_set else []
        rate = f"lr {spec.learning_rate:g}"
        task = f"{spec.task} {spec.started}" if spec.after else spec.task
        return " · ".join([*stage, spec.method, spec.model, task, rate, f"seed {spec.seed}"])

    @cached_property
    def cell_id(self) -> str:
        """The id that the cell is stored under."""
        return cell_id(self.spec)


def setting_digest(spec: CellSpec) -> str:
    """Return a digest of all of a spec but its seed: 16 hexadecimal digits."""
    content = spec.model_dump_json(exclude={"seed": True, "tuned": {"over", "values"}})
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def cell_id(spec: CellSpec) -> str:
    """Return the digest of a cell's identity: 16 hexadecimal digits."""
    identity = spec.model_dump_json(exclude={"tuned": {"over", "values"}})
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
