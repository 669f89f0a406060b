"""What every tracker can do."""

from __future__ import annotations

from typing import Protocol

from bench.trackers.tracked_run import TrackedRun


class Tracker(Protocol):
    """Stores runs. Made from a target, which may be empty, and the results folder."""

    @property
    def look(self) -> str:
        """How to look at the runs: a command, or an address."""

    def log(self, run: TrackedRun) -> bool:
        """Store a run; one of the same cell with other content is replaced.

        Returns:
            False if the tracker holds just this run already, so that nothing was done.
        """

    def close(self) -> None:
        """Finish what is under way."""
