"""What runs tell about cells under way, for those who watch them: `bench serve`.

running/plan-<token>.json    a `GridPlan`: the cells that a run has yet to run
running/cell-<cell_id>.json  a `CellProgress`, named after the first of the cells that run together

No result depends on these files. One that cannot be written is left out: a full disk may end a run
when a result is stored, but not because somebody could have watched it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.store import atomic

if TYPE_CHECKING:
    from bench.store.records import CellSpec
    from bench.store.store import Stamp

RUNNING = "running"
"""Inside a results folder; holds what is told about cells under way."""

MOST_LOSSES = 120
"""Points of a loss curve that are kept; of more, every second one is dropped."""

_Told = TypeVar("_Told", bound="_Model")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class NamedCell(_Model):
    """A cell and what people call it.

    Attributes:
        cell_id: The id of its record.
        method, model, task, seed, learning_rate: Of its spec; the task with its first step.
        stage: Which part of a tuned grid it belongs to; empty elsewhere.
        stamp: The stamp of its record when it was planned; None if there was none.
    """

    cell_id: str
    method: str
    model: str
    task: str
    seed: int
    learning_rate: float
    stage: str = ""
    stamp: tuple[int, int, int] | None = None

    @classmethod
    def of(cls, cell_id: str, spec: CellSpec, stamp: Stamp | None = None) -> NamedCell:
        """Return the names of a cell."""
        return cls(
            cell_id=cell_id,
            method=spec.method,
            model=spec.model,
            task=f"{spec.task} {spec.started}".strip(),
            seed=spec.seed,
            learning_rate=spec.learning_rate,
            stage=spec.fact_set.value if spec.fact_set else "",
            stamp=stamp,
        )


class GridPlan(_Model):
    """The cells that a run has yet to run when it writes this.

    Attributes:
        token: Identifies the run; its claim has this name.
        started: When the run started, in Unix seconds.
        cells: Those cells. In a tuned grid, cells whose values are not chosen yet stand for others.
    """

    token: str
    started: float
    cells: tuple[NamedCell, ...]


class CellProgress(_Model):
    """How far a cell is, or cells that run together.

    Attributes:
        cells: These cells.
        started, phase_started: When they and their phase started, in Unix seconds.
        phase: The phase; empty before the first.
        steps, done: How many steps the phase has, None if unknown, and how many are done.
        loss: The latest loss.
        losses: Steps of the training and their losses, `[points, 2]`; a selection of a long one.
    """

    cells: tuple[NamedCell, ...]
    started: float
    phase_started: float
    phase: str = ""
    steps: int | None = None
    done: int = 0
    loss: float | None = None
    losses: tuple[tuple[int, float], ...] = ()


class LossCurve:
    """The losses of a training, thinned out evenly as they become many."""

    def __init__(self) -> None:
        self._every = 1
        self._points: list[tuple[int, float]] = []

    @property
    def points(self) -> tuple[tuple[int, float], ...]:
        """Steps, counted from 1, and their losses."""
        return tuple(self._points)

    def add(self, step: int, loss: float) -> None:
        """Take the loss of a step, unless it is one of those that are left out."""
        if not math.isfinite(loss) or (step - 1) % self._every:
            return
        self._points.append((step, loss))
        if len(self._points) > MOST_LOSSES:
            self._every *= 2
            self._points = [point for point in self._points if (point[0] - 1) % self._every == 0]


class RunningFiles:
    """Writes and reads what is told about the cells under way in one results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / RUNNING

    def tell(self, progress: CellProgress) -> None:
        """Write how far cells are, if that is possible."""
        self._put(f"cell-{progress.cells[0].cell_id}", progress)

    def announce(self, plan: GridPlan) -> None:
        """Write what a run has yet to run, if that is possible."""
        self._put(f"plan-{plan.token}", plan)

    def forget(self, cell_id: str) -> None:
        """Remove what was told about cells whose first one is this."""
        self._remove(f"cell-{cell_id}")

    def withdraw(self, token: str) -> None:
        """Remove what a run has announced."""
        self._remove(f"plan-{token}")

    def tokens(self) -> list[str]:
        """Return the tokens of the runs that have announced something."""
        return [name.removeprefix("plan-") for name in self._names("plan-")]

    def first_cells(self) -> list[str]:
        """Return the ids that `progress` knows a file of."""
        return [name.removeprefix("cell-") for name in self._names("cell-")]

    def plan(self, token: str) -> GridPlan | None:
        """Return what a run has announced; None if it is gone or cannot be read."""
        return self._get(f"plan-{token}", GridPlan)

    def progress(self, cell_id: str) -> CellProgress | None:
        """Return how far cells are whose first one is this; None as for `plan`."""
        return self._get(f"cell-{cell_id}", CellProgress)

    def written(self, token: str) -> int | None:
        """Return when a plan was written (nanoseconds); None if it is gone."""
        try:
            return self._path(f"plan-{token}").stat().st_mtime_ns
        except OSError:
            return None

    def _names(self, start: str) -> Iterator[str]:
        with suppress(OSError):
            for name in sorted(os.listdir(self.folder)):
                if name.startswith(start) and name.endswith(".json"):
                    yield name.removesuffix(".json")

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _put(self, name: str, content: _Model) -> None:
        # Not flushed to disk, which would cost a training more than it is worth; and no folder is
        # made for it above its own: a results folder that was deleted stays deleted.
        with suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            with atomic.draft(self._path(name)) as staged:
                staged.write_text(content.model_dump_json(), encoding="utf-8")
                os.replace(staged, self._path(name))

    def _get(self, name: str, kind: type[_Told]) -> _Told | None:
        try:
            return kind.model_validate_json(self._path(name).read_bytes())
        except (OSError, ValidationError):
            return None

    def _remove(self, name: str) -> None:
        with suppress(OSError):
            self._path(name).unlink(missing_ok=True)
            for staged in self.folder.glob(f".{name}.json.*.tmp"):  # of a process that was killed
                staged.unlink(missing_ok=True)
