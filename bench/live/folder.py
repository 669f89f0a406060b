"""What a results folder says about its cells at this moment; it only reads."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from bench.execution.leases import Claims
from bench.live.shown import (
    Ended,
    ShownCell,
    State,
    damaged_cell,
    ended_cell,
    running_cell,
    stopped_cell,
    waiting_cell,
)
from bench.store.packed import CELLS
from bench.store.running import GridPlan, RunningFiles
from bench.store.store import ResultsStore, Stamp
from tasks.errors import UsageError

READ_SECONDS = 0.5
"""How long one look reads records: those of a large folder are read in several."""


@dataclass(frozen=True)
class Look:
    """What was found at one moment.

    Attributes:
        cells: By their ids.
        plans: What living runs have yet to run.
        abandoned: Whether a run left cells that nobody runs.
        groups: How many processes run cells.
        unread: How many records have yet to be read.
        written: By cell id when its record was written, in Unix seconds.
    """

    cells: dict[str, ShownCell]
    plans: tuple[GridPlan, ...]
    abandoned: bool
    groups: int
    unread: int
    written: dict[str, float]


class _Announced(NamedTuple):
    """A plan when it was written (nanoseconds), and how its cells are shown while they wait."""

    written: int
    plan: GridPlan
    waiting: tuple[ShownCell, ...]


class WatchedFolder:
    """A results folder that is looked at again and again; what has not changed is not read again.

    Args:
        folder: The results folder, which may be missing, and may be deleted at any time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._store = ResultsStore(folder)
        self._packed: tuple[int, int] | None = None
        self._running = RunningFiles(folder)
        self._claims = Claims(folder)
        self._lives = Claims(self._running.folder)
        self._ended: dict[str, tuple[Stamp, ShownCell]] = {}
        self._plans: dict[str, _Announced] = {}

    def look(self) -> Look:
        """Return what the folder says now."""
        stamps = self._stamps()
        unread = self._read(stamps)
        cells = {cell_id: shown for cell_id, (_, shown) in self._ended.items()}
        written = {cell_id: stamps[cell_id].written / 1e9 for cell_id in cells}
        living, abandoned = [], False
        for plan, waiting in self._planned():
            lives = self._lives.lives(plan.token)
            living += [plan] if lives else []
            for names, shown in zip(plan.cells, waiting, strict=True):
                # In a run that lives, a record of before its plan is one that is run again.
                if (stamp := stamps.get(names.cell_id)) is None or (lives and stamp == names.stamp):
                    cells[names.cell_id] = shown
                    abandoned |= not lives
        groups = self._add_begun(cells, stamps)
        return Look(cells, tuple(living), abandoned, groups, unread, written)

    def traceback(self, cell_id: str) -> str:
        """Return the traceback of a cell; empty if it has none, or is gone."""
        with suppress(OSError, ValueError, UsageError):
            return Ended.model_validate_json(self._store.content(cell_id)).traceback
        return ""

    def _stamps(self) -> dict[str, Stamp]:
        """Return the stamps of all records; none if the folder is gone."""
        try:
            status = os.stat(self.folder / CELLS)
            packed = (status.st_mtime_ns, status.st_ino)
        except OSError:
            packed = None
        if packed != self._packed:  # a store reads packed cells once
            self._store, self._packed = ResultsStore(self.folder), packed
        try:
            return self._store.stamps()
        except (OSError, UsageError):
            return {}

    def _read(self, stamps: dict[str, Stamp]) -> int:
        """Read records that are new, for a while; return how many are left."""
        for cell_id in self._ended.keys() - stamps.keys():
            del self._ended[cell_id]
        new = [
            cell_id
            for cell_id, stamp in stamps.items()
            if cell_id not in self._ended or self._ended[cell_id][0] != stamp
        ]
        until = time.monotonic() + READ_SECONDS
        for number, cell_id in enumerate(new):
            if time.monotonic() > until:
                return len(new) - number
            if (shown := self._record(cell_id)) is not None:
                self._ended[cell_id] = (stamps[cell_id], shown)
        return 0

    def _record(self, cell_id: str) -> ShownCell | None:
        """Return what a record says; None if it is gone again."""
        try:
            return ended_cell(Ended.model_validate_json(self._store.content(cell_id)))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors()[0]
            return damaged_cell(cell_id, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
        except (OSError, ValueError) as error:
            return damaged_cell(cell_id, str(error))

    def _planned(self) -> Iterator[tuple[GridPlan, tuple[ShownCell, ...]]]:
        """Yield what runs, living or not, have announced, and how its cells are shown."""
        tokens = self._running.tokens()
        for token in self._plans.keys() - tokens:
            del self._plans[token]
        for token in tokens:
            written = self._running.written(token)
            known = self._plans.get(token)
            if known is None or known.written != written:
                plan = self._running.plan(token)
                if plan is None or written is None:
                    continue
                known = _Announced(written, plan, tuple(map(waiting_cell, plan.cells)))
                self._plans[token] = known
            yield known.plan, known.waiting

    def _add_begun(self, cells: dict[str, ShownCell], stamps: dict[str, Stamp]) -> int:
        """Add cells that have begun and have not ended; return how many processes run some."""
        # A claim on any other cell may be that of a process which looks whether it has been run.
        claimed = [cell_id for cell_id in self._claims.claimed() if cell_id in cells]
        groups = {
            cell_id
            for cell_id in claimed
            if cells[cell_id].state is State.WAITING and self._claims.lives(cell_id)
        }
        for cell_id in groups:
            cells[cell_id] = replace(cells[cell_id], state=State.RUNNING)
        for first in self._running.first_cells():
            told = self._running.progress(first)
            for names in told.cells if told else ():
                groups.discard(names.cell_id)
                if self._claims.lives(names.cell_id):
                    cells[names.cell_id] = running_cell(names, told)
                    groups.add(first)
                elif names.cell_id not in stamps:
                    cells[names.cell_id] = stopped_cell(names, told)
        return len(groups)
