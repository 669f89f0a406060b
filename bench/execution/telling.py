"""What a run tells those who watch its results folder, see `bench.store.running`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.execution.leases import Claims
from bench.planning.planned_cell import CellState, PlannedCell
from bench.progress.base import Progress
from bench.store.records import PhaseName
from bench.store.running import CellProgress, GridPlan, LossCurve, NamedCell, RunningFiles

WRITE_SECONDS = 0.5
"""Least time between two writes about the steps of one phase."""


class ToldProgress(Progress):
    """Passes on what `bench.runner.run_cells` reports, and writes it to the results folder.

    Args:
        shown: What shows it to the user.
        files: Those of the results folder.
        cells: The cells that run.
        now: A clock, in Unix seconds.
    """

    def __init__(
        self,
        shown: Progress,
        files: RunningFiles,
        cells: Sequence[PlannedCell],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._shown, self._files, self._now = shown, files, now
        self._losses, self._written = LossCurve(), 0.0
        names = tuple(map(_named, cells))
        self._told = CellProgress(cells=names, started=now(), phase_started=now())
        self._tell()

    def phase(self, name: str, steps: int | None = None) -> None:
        """Write which phase starts; a training that starts again begins a new curve."""
        self._shown.phase(name, steps)
        if name == PhaseName.TRAIN:
            self._losses = LossCurve()
        self._tell(phase=name, steps=steps, done=0, phase_started=self._now())

    def step(self, done: int, loss: float | None = None) -> None:
        """Write how far the phase is, once in a while."""
        self._shown.step(done, loss)
        if loss is not None:
            self._losses.add(done, loss)
        if self._now() - self._written >= WRITE_SECONDS or done == self._told.steps:
            self._tell(done=done, loss=loss)

    def note(self, line: str) -> None:
        """Pass the line on."""
        self._shown.note(line)

    def _tell(self, **changes: object) -> None:
        self._written = self._now()
        changes["losses"] = self._losses.points
        self._told = self._told.model_copy(update=changes)
        self._files.tell(self._told)


@contextmanager
def telling(shown: Progress, folder: Path, cells: Sequence[PlannedCell]) -> Iterator[ToldProgress]:
    """Yield what passes on the progress of cells; what it wrote is gone afterwards.

    Args:
        shown: What shows it to the user.
        folder: The results folder.
        cells: The cells that run.
    """
    files = RunningFiles(folder)
    try:
        yield ToldProgress(shown, files, cells)
    finally:
        files.forget(cells[0].cell_id)


class Announcement:
    """What one run has yet to run, in its results folder.

    Args:
        files: Those of the results folder.
        token: Identifies the run.
    """

    def __init__(self, files: RunningFiles, token: str) -> None:
        self._files, self._token, self._started = files, token, time.time()

    def announce(self, cells: Sequence[PlannedCell]) -> None:
        """Write which of the cells of a grid have yet to run."""
        left = [cell for cell in cells if cell.runs or cell.state is CellState.OPEN]
        names = tuple(map(_named, left))
        self._files.announce(GridPlan(token=self._token, started=self._started, cells=names))

    def withdraw(self) -> None:
        """Remove it: nothing is left to run."""
        self._files.withdraw(self._token)


@contextmanager
def announcing(folder: Path) -> Iterator[Announcement]:
    """Yield what announces the cells of a run, and show as long that the run lives.

    The plan of a run that did not come to its end stays until the next run starts, so that one can
    see what it did not get to.
    """
    files, token = RunningFiles(folder), uuid.uuid4().hex
    with Claims(files.folder) as lives:
        with suppress(OSError):  # a full disk: nobody can watch, and the run goes on
            _clear(files, Claims(folder), lives)
            lives.take(token)
        yield Announcement(files, token)


def _clear(files: RunningFiles, claims: Claims, lives: Claims) -> None:
    """Remove what runs have left that were killed."""
    for token in files.tokens():
        if not lives.lives(token):
            files.withdraw(token)
    for cell_id in files.first_cells():
        told = files.progress(cell_id)
        if told is None or not any(claims.lives(cell.cell_id) for cell in told.cells):
            files.forget(cell_id)


def _named(cell: PlannedCell) -> NamedCell:
    return NamedCell.of(cell.cell_id, cell.spec, cell.stamp)
