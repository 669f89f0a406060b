"""Log stored cells to trackers: a tracker that fails is reported once and used no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock

from bench.failures import CellTimeoutError, first_line, time_limit
from bench.redaction import safe_text
from bench.store.records import CellRecord, Status
from bench.store.store import ResultsStore
from bench.trackers.registry import Destination, open_tracker
from tasks.errors import UsageError

if TYPE_CHECKING:
    from bench.trackers.tracked_run import TrackedRun
    from bench.trackers.tracker import Tracker

_Result = TypeVar("_Result")

LONGEST = 60.0
"""Seconds that a tracker may take for one run: one that hangs must not stop a grid."""


@dataclass
class OpenTracker:
    """A tracker and what has become of it.

    Attributes:
        logged, unchanged: How many cells were logged, and how many it already had.
        failed: Whether it has failed, after which it is left alone.
    """

    name: str
    tracker: Tracker
    logged: int = 0
    unchanged: int = 0
    failed: bool = False

    @property
    def told(self) -> str:
        """One line on what it holds now, and how to look at it."""
        cells = "cell" if self.logged == 1 else "cells"
        there = f", {self.unchanged} already there" if self.unchanged else ""
        return f"{self.name}: {self.logged} {cells} logged{there}; to look: {self.tracker.look}"


@dataclass
class TrackerLog:
    """Logs cells of a results folder to open trackers.

    Attributes:
        store: The results folder.
        note: Shows a line to the user.
        trackers: Where cells are logged.
    """

    store: ResultsStore
    note: Callable[[str], None]
    trackers: list[OpenTracker] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether some tracker has failed."""
        return any(each.failed for each in self.trackers)

    @property
    def told(self) -> list[str]:
        """A line on each tracker that works."""
        return [each.told for each in self.trackers if not each.failed]

    def log(self, cell_ids: Iterable[str]) -> None:
        """Log cells that have a record; interrupted ones are left out, since they will go on."""
        if all(each.failed for each in self.trackers):
            return
        for cell_id in cell_ids:
            try:
                record = self.store.read(cell_id)
                run = self._run(record) if record else None
            except Exception as error:  # its rows are damaged, which the report says in detail
                self.note(f"cell {cell_id} is not logged: {safe_text(first_line(error))}")
                continue
            if run is not None and run.status is not Status.INTERRUPTED:
                self._send(run)

    def close(self) -> None:
        """Close all trackers."""
        for each in self.trackers:
            self._attempt(each, "could not be closed", each.tracker.close)

    def _run(self, record: CellRecord) -> TrackedRun:
        # The names of the report bring pandas along, which takes seconds.
        from bench.trackers.numbers import FACT_COLUMNS
        from bench.trackers.tracked_run import tracked_run

        return tracked_run(record, self.store.fact_table(record.cell_id, FACT_COLUMNS))

    def _send(self, run: TrackedRun) -> None:
        # Two processes that share the folder may log the same cell; the second finds it there.
        with _lock(self.store.folder):
            for each in self.trackers:
                log = partial(each.tracker.log, run)
                new = self._attempt(each, f"could not log {run.name}", log)
                each.logged += new is True
                each.unchanged += new is False

    def _attempt(
        self, each: OpenTracker, what: str, action: Callable[[], _Result]
    ) -> _Result | None:
        """Let a tracker do something, and report it if that fails; None if it fails or has."""
        if each.failed:
            return None
        try:
            return _limited(action)
        except Exception as error:
            each.failed = True
            self.note(
                f"{each.name} {what}: {_why(error)}. It is left alone for the "
                "rest of this run; no result is lost, and the command log repeats what is missing"
            )
            return None


@contextmanager
def tracker_log(
    wanted: Sequence[Destination], store: ResultsStore, note: Callable[[str], None]
) -> Iterator[TrackerLog]:
    """Open trackers for a block, and close them after it.

    Args:
        wanted: The trackers and their targets.
        store: The results folder whose cells are logged.
        note: Shows a line to the user.

    Raises:
        UsageError: A tracker cannot be used; the error says which, and why.
    """
    log = TrackerLog(store, note)
    try:
        for destination in wanted:
            log.trackers.append(OpenTracker(destination.tracker, _opened(destination, store)))
        yield log
    finally:
        log.close()


def _opened(destination: Destination, store: ResultsStore) -> Tracker:
    try:
        return _limited(partial(open_tracker, destination, store.folder))
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{destination.tracker} cannot be used: {_why(error)}") from error


def _limited(action: Callable[[], _Result]) -> _Result:
    """Do something that may hang, within `LONGEST` seconds.

    Raises:
        TimeoutError: It took longer.
    """
    try:
        with time_limit(LONGEST, f"no answer within {LONGEST:g} s"):
            return action()
    except CellTimeoutError as error:
        raise TimeoutError(str(error)) from None


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, TimeoutError) else safe_text(first_line(error))


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock of trackers; go on without it where a folder cannot be written."""
    lock = FileLock(folder / ".trackers.lock")
    held = False
    with suppress(OSError):
        lock.acquire(timeout=LONGEST)
        held = True
    try:
        yield
    finally:
        if held:
            lock.release()
