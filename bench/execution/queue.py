"""One process's share of a grid: claim a cell, run it, store it, claim the next.

Every process works through all cells; claims keep two processes from running the same cell.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.cell.context import CellContext
from bench.config.options import Rerun
from bench.execution.leases import Claims
from bench.failures import disk_is_full, first_line, no_space
from bench.planning.grid import planned
from bench.planning.planned_cell import PlannedCell
from bench.progress.base import Progress
from bench.runner import CellResult, run_cell
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
        ran: How many cells have run here.
    """

    bench: CellContext
    store: ResultsStore
    claims: Claims
    progress: Progress
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
                cell = self._claimed()
                if cell is not None:
                    self._run_claimed(cell, len(todo))
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

    def _claimed(self) -> PlannedCell | None:
        """Claim a cell; return None if other processes have all that are left."""
        # Sorting is stable: cells of the resident model come first, otherwise the order stays.
        resident = self.bench.resident
        for cell in sorted(self._left.values(), key=lambda cell: cell.spec.model != resident):
            if not self.claims.take(cell.cell_id):
                continue
            current = self._current(cell)
            if current is not None:
                return current
            self.claims.release(cell.cell_id)
            del self._left[cell.cell_id]
        return None

    def _current(self, cell: PlannedCell) -> PlannedCell | None:
        """Return the cell in its present state; None if another process has run it."""
        options = self.bench.options
        if self.store.stamp(cell.cell_id) != cell.stamp:  # written since the grid was planned
            options = options.model_copy(update={"rerun": Rerun.MISSING})
        found = planned(cell, options, self.store)
        return found if found.runs else None

    def _run_claimed(self, cell: PlannedCell, total: int) -> None:
        try:
            if cell.damaged:
                self.store.set_aside(cell.cell_id)
                self.progress.note(f"{cell.why}; renamed to .damaged, running this cell again")
            self.progress.cell(total - len(self._left) + 1, total, cell.label)
            result = run_cell(cell, self.bench, self.progress)
            interrupted = result.record.status is Status.INTERRUPTED
            if not interrupted or self.store.read(cell.cell_id) is None:
                self._write(result)
            if interrupted:
                raise KeyboardInterrupt
        finally:
            self.claims.release(cell.cell_id)
        del self._left[cell.cell_id]
        self.ran += 1
        self.progress.end_cell(result.record.status, outcome_line(result.record))

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
