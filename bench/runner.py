"""Run cells, from their recipes to their records, one by one or several at once.

facts -> signals -> which facts, their weights, which layers -> prepare and attach
      -> train -> evaluate -> measure forgetting -> record

Cells that come together are prepared one after another, trained and asked together, and end with a
record each. What cannot be done together is done alone, with the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from bench import failures
from bench.cell.context import CellContext
from bench.cell.running import CellResult, OutOfMemoryInPhaseError, RunningCell
from bench.cell.together import StackedCells
from bench.inference.batch_size import halved
from bench.planning.planned_cell import PlannedCell
from bench.progress.base import Progress
from bench.stacking.layers import why_alone
from bench.store.records import Status
from tasks.errors import UsageError

__all__ = ["CellResult", "run_cell", "run_cells"]

OnResult = Callable[[CellResult], None]
Batch = Sequence[PlannedCell]


def run_cell(cell: PlannedCell, context: CellContext, progress: Progress) -> CellResult:
    """Run one cell; what goes wrong in it is written to its record.

    Where memory runs out, the phase is run once more with half as much at once.

    Raises:
        NoSpaceError: The disk is full, which ends the run.
    """
    results: list[CellResult] = []
    run_cells([cell], context, progress, results.append)
    [result] = results
    return result


def run_cells(cells: Batch, context: CellContext, progress: Progress, on_result: OnResult) -> None:
    """Run cells of one base, together as far as possible.

    After Ctrl-C, cells that have begun end as interrupted, and the others have no result.

    Args:
        cells: The cells.
        context: What cells share.
        progress: Shows the phases.
        on_result: Called with the result of each cell as soon as it has ended.

    Raises:
        NoSpaceError: The disk is full, which ends the run.
    """
    runs = _Runs(context, progress, on_result)
    waiting = [cells]
    while waiting and not runs.stopped:
        waiting[:1] = runs.run(waiting[0])
        context.free_memory()


class _Runs:
    """Runs cells and delivers their results.

    Args:
        context: What cells share.
        progress: Shows the phases.
        on_result: Called with the result of each cell.

    Attributes:
        stopped: Whether Ctrl-C was pressed.
    """

    def __init__(self, context: CellContext, progress: Progress, on_result: OnResult) -> None:
        self._context, self._progress, self._on_result = context, progress, on_result
        self.stopped = False

    def run(self, cells: Batch) -> list[Batch]:
        """Run cells, and return those that are still to be run, each batch for itself."""
        if len(cells) > 1:
            return self._together(cells)
        self._alone(cells[0])
        return []

    def _together(self, cells: Batch) -> list[Batch]:
        members = [RunningCell(cell, self._context, self._progress) for cell in cells]
        limit = _Limit(self._context.options.timeout, len(cells))
        stacked: StackedCells | None = None
        refused: list[RunningCell] = []
        try:
            with self._section(members, limit):
                for member in members:
                    with member.guarded():
                        member.prepare()
            able, refused = _divided(members)
            with self._section(able, limit):  # those that are refused have not begun
                stacked = self._trained(able)
            refused += [] if stacked else [member for member in able if not member.over]
        except OutOfMemoryInPhaseError as error:
            self._progress.note(f"{error.told}: running {len(cells)} cells in two halves")
            half = (len(cells) + 1) // 2
            return [cells[:half], cells[half:]]
        groups = [] if stacked is None else stacked.groups()
        for member in members:
            if member.over:
                self._on_result(member.result)
        for group in groups:
            assert stacked is not None
            with self._section(group, limit):
                if self.stopped:  # Ctrl-C has ended a group before this one
                    raise KeyboardInterrupt
                self._ask(stacked, group)
            for member in group:
                self._on_result(member.result)
        return [] if self.stopped else [[member.cell] for member in refused]

    def _trained(self, members: Sequence[RunningCell]) -> StackedCells | None:
        """Train cells together; return None if they must run alone.

        Raises:
            NoSpaceError: The disk is full, which ends the run.
            OutOfMemoryInPhaseError: Memory ran out.
        """
        if len(members) < 2:
            return None
        try:
            stacked = StackedCells(members, self._context, self._progress)
            stacked.train()
        except UsageError as error:
            self._progress.note(f"{error}; running them one by one")
        except (OutOfMemoryInPhaseError, failures.NoSpaceError):
            raise
        except Exception as error:  # alone, it harms only the cell that is to blame for it
            if failures.disk_is_full(error):
                raise failures.no_space(error) from error
            told = failures.first_line(error)
            if failures.is_out_of_memory(error):
                raise OutOfMemoryInPhaseError(told) from None
            self._progress.note(f"{told}: running these {len(members)} cells one by one")
        else:
            # A member that changed the base has ended, and the others have trained on what it left.
            return stacked if self._context.resident else None
        return None

    def _ask(self, stacked: StackedCells, group: Sequence[RunningCell]) -> None:
        """Measure the cells of a group together; one by one if that fails."""
        try:
            for member in group:
                member.measure_base()
            self._with_less(partial(stacked.evaluate, group))
            self._with_less(partial(stacked.forget, group))
        except Exception as error:
            if failures.disk_is_full(error):
                raise failures.no_space(error) from error
            told = failures.first_line(error)
            self._progress.note(f"{told}: measuring these {len(group)} cells one by one")
            for member in group:
                if not member.over:
                    self._measure_alone(member)
        for member in group:
            if not member.over:
                member.finish()

    def _alone(self, cell: PlannedCell) -> None:
        limit = _Limit(self._context.options.timeout, 1)
        running, told = self._trained_alone(cell, limit, 1)
        if told and not running.over and cell.spec.batch_size > 1:
            self._progress.note(f"{told}: retrying with half-size micro-batches")
            del running
            self._context.free_memory()
            running, told = self._trained_alone(cell, limit, 2)
        with self._section([running], limit):
            if told and not running.over:
                running.end(Status.OUT_OF_MEMORY, told)
            elif not running.over:
                self._measure_alone(running)
                if not running.over:
                    running.finish()
        self._on_result(running.result)

    def _trained_alone(
        self, cell: PlannedCell, limit: _Limit, micro_batches: int
    ) -> tuple[RunningCell, str]:
        """Train a cell; return it, and why memory ran out."""
        context, progress = self._context, self._progress
        running = RunningCell(cell, context, progress, micro_batches=micro_batches)
        with self._section([running], limit):
            try:
                with running.guarded():
                    running.prepare()
                    running.train()
            except OutOfMemoryInPhaseError as error:
                return running, error.told
        return running, ""

    def _measure_alone(self, running: RunningCell) -> None:
        """Measure a trained cell alone."""
        try:
            with running.guarded():
                running.measure_base()
                self._with_less(running.evaluate)
                self._with_less(running.forget)
        except OutOfMemoryInPhaseError as error:
            running.end(Status.OUT_OF_MEMORY, error.told)

    def _with_less(self, phase: Callable[[], None]) -> None:
        """Run a phase that asks; if memory runs out, once more with half as many rows at once."""
        try:
            phase()
        except Exception as error:
            if not failures.is_out_of_memory(error):
                raise
            told = failures.first_line(error)
        else:
            return
        self._context.free_memory()
        self._progress.note(f"{told}: asking again with half as many rows at once")
        with halved():
            phase()

    @contextmanager
    def _section(self, members: Sequence[RunningCell], limit: _Limit) -> Iterator[None]:
        """End cells that take too long in a block, or that are in it when Ctrl-C is pressed."""
        try:
            with limit.running():
                yield
        except failures.CellTimeoutError as error:
            ended, reason = Status.FAILED, str(error)
        except KeyboardInterrupt:
            ended, reason, self.stopped = Status.INTERRUPTED, "stopped by Ctrl-C", True
        else:
            return
        for member in members:
            if not member.over:
                member.end(ended, reason)


def _divided(members: Sequence[RunningCell]) -> tuple[list[RunningCell], list[RunningCell]]:
    """Divide prepared cells that are not over into those that can be stacked, and the others."""
    able: list[RunningCell] = []
    refused: list[RunningCell] = []
    for member in members:
        if not member.over:
            alone = why_alone(member.attached.model, member.cell.recipe.adapter)
            penalised = member.plan.penalty is not None
            (refused if alone or penalised else able).append(member)
    return able, refused


class _Limit:
    """The time that cells may take.

    Args:
        seconds: The time limit of a cell; None: no limit.
        cells: How many cells are run at once, which may take so many times as long.
    """

    def __init__(self, seconds: float | None, cells: int) -> None:
        self._left = None if seconds is None else seconds * cells
        self._told = "" if seconds is None else f"stopped after {seconds:g} s (--timeout)"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the time of the block count."""
        started = time.monotonic()
        try:
            with failures.time_limit(self._left, self._told):
                yield
        finally:
            if self._left is not None:
                # Not 0, which would take the limit away.
                self._left = max(1e-3, self._left - (time.monotonic() - started))
