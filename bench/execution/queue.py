"""One process's share of a grid: claim a cell, run it, store it, claim the next.

Every process works through all cells; claims keep two processes from running the same cell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.cell.context import CellContext
from bench.config.options import Rerun
from bench.execution.leases import Claims
from bench.execution.telling import telling
from bench.failures import disk_is_full, first_line, no_space
from bench.planning.grid import planned
from bench.planning.planned_cell import PlannedCell
from bench.planning.stacking import fitting, most_at_once
from bench.progress.base import Progress
from bench.runner import CellResult, run_cells
from bench.store.records import CellRecord, Status
from bench.store.store import ResultsStore

POLL_SECONDS = 1.0


@dataclass
class Work:
    """Runs cells until none is left.

    Attributes:
        bench: What cells share in this process.
        store, claims: Those of the results folder.
        progress: Shows what happens.
        after_cell: Called whenever a cell has ended and is stored.
        ran: How many cells have run here.
    """

    bench: CellContext
    store: ResultsStore
    claims: Claims
    progress: Progress
    after_cell: Callable[[], None] = lambda: None
    ran: int = 0
    _left: dict[str, PlannedCell] = field(default_factory=dict)

    def run(self, todo: Sequence[PlannedCell], *, wait: bool) -> None:
        """Run the cells that no other process runs, those of the resident model first.

        Args:
            todo: The cells.
            wait: Whether to wait until cells that run elsewhere have finished; if their process
                dies, they are run here.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; a note of the running cell has been stored.
            NoSpaceError: The disk is full; finished cells are intact.
        """
        self._left = {cell.cell_id: cell for cell in todo}
        told = False
        try:
            while self._left:
                cells = self._claimed()
                if cells:
                    self._run_claimed(cells, len(todo))
                elif self._left and not wait:
                    return
                elif self._left:
                    if not told:
                        owner = self.claims.owner(next(iter(self._left)))
                        who = f", one of them {owner}" if owner else ""
                        count = f"{len(self._left)} {'cell' if len(self._left) == 1 else 'cells'}"
                        self.progress.note(f"waiting for {count} run by other processes{who}")
                        told = True
                    time.sleep(POLL_SECONDS)
        except OSError as error:
            raise (no_space(error) if disk_is_full(error) else error) from None

    def _claimed(self) -> list[PlannedCell]:
        """Claim a cell, and those that run with it; none if other processes have all."""
        # Sorting is stable: cells of the resident model come first, and of these the ones that
        # start from the same first step; otherwise the order stays.
        resident, step = self.bench.resident, self.bench.started_from
        order = sorted(
            self._left.values(),
            key=lambda cell: (
                cell.spec.model != resident,
                bool(step) and (cell.first is None or cell.first.cell_id != step),
            ),
        )
        for number, first in enumerate(order):
            taken = self._take(first)
            if taken is None:
                continue
            able = fitting(taken, order[number + 1 :])
            options, loaded = self.bench.options, taken.spec.model == resident
            most = most_at_once(options, self.bench.compute, able, resident=loaded)
            cells = [taken]
            for other in able[1:]:
                if len(cells) >= most:
                    break
                if (also := self._take(other)) is not None:
                    cells.append(also)
            return cells
        return []

    def _take(self, cell: PlannedCell) -> PlannedCell | None:
        """Claim a cell and return it in its present state; None if another process has it."""
        if not self.claims.take(cell.cell_id):
            return None
        current = self._current(cell)
        if current is None:
            self.claims.release(cell.cell_id)
            del self._left[cell.cell_id]
        return current

    def _current(self, cell: PlannedCell) -> PlannedCell | None:
        """Return the cell in its present state; None if another process has run it."""
        options = self.bench.options
        if self.store.stamp(cell.cell_id) != cell.stamp:  # written since the grid was planned
            options = options.model_copy(update={"rerun": Rerun.MISSING})
        found = planned(cell, options, self.store)
        return found if found.runs else None

    def _run_claimed(self, cells: Sequence[PlannedCell], total: int) -> None:
        """Run claimed cells, and store each as soon as it has ended."""
        running = {cell.cell_id: cell for cell in cells}
        stopped = False

        def store(result: CellResult) -> None:
            nonlocal stopped
            record = result.record
            interrupted = record.status is Status.INTERRUPTED
            if not interrupted or self.store.read(record.cell_id) is None:
                self._write(result)
            cell = running.pop(record.cell_id)
            self.claims.release(record.cell_id)
            if interrupted:
                stopped = True
                return
            del self._left[record.cell_id]
            self.ran += 1
            line = outcome_line(result.record)
            named = f"{cell.label}{': ' if line else ''}{line}" if len(cells) > 1 else line
            self.progress.end_cell(result.record.status, named)
            self.after_cell()

        try:
            for cell in cells:
                if cell.damaged:
                    self.store.set_aside(cell.cell_id)
                    told = f"{cell.why}; renamed to .damaged, running this cell again"
                    self.progress.note(told)
            first = total - len(self._left) + 1
            label = cells[0].label if len(cells) == 1 else f"{len(cells)} cells at once"
            self.progress.cell(first, total, label, len(cells))
            with telling(self.progress, self.store.folder, cells) as progress:
                run_cells(cells, self.bench, progress, store)
        finally:
            for cell_id in running:  # after Ctrl-C, those that had not begun
                self.claims.release(cell_id)
        if stopped:
            raise KeyboardInterrupt

    def _write(self, result: CellResult) -> None:
        """Store a cell, as failed if a number in it is not finite."""
        try:
            self.store.write(result.record, result.rows)
        except ValueError as error:
            kept = result.record.model_dump(include={"cell_id", "spec", "provenance", "phases"})
            failed = {**kept, "status": Status.FAILED, "reason": first_line(error)}
            result.record, result.rows = CellRecord.model_validate(failed), []
            self.store.write(result.record, result.rows)


def outcome_line(record: CellRecord) -> str:
    """Describe in one line how a cell ended."""
    metrics = record.metrics
    if record.status is not Status.DONE or metrics is None or metrics.reliability is None:
        return record.reason  # a cell that failed late has metrics, too
    epochs = metrics.epochs_to_learn_unknown
    soon = [] if epochs is None else [f"{epochs:.1f} epochs to learn"]
    lost = [f"{f.task} {f.forgetting:+.3f}" for f in record.forgetting]
    return ", ".join([*soon, f"reliability {metrics.reliability:.2f}", *lost])
