"""Trackio: one run per cell in a database on this machine, in a group with its other seeds."""

from __future__ import annotations

import io
import shlex
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import trackio

from bench.trackers.registry import PROJECT
from bench.trackers.tracked_run import TrackedRun

_DIGEST = "record"


class Trackio:
    """Logs to a project of Trackio, in the folder that Trackio uses (TRACKIO_DIR).

    Args:
        target: The name of the project.
        folder: The results folder, in which nothing is stored.
    """

    def __init__(self, target: str, folder: Path) -> None:
        self._project = target or PROJECT

    @property
    def look(self) -> str:
        """The command that shows the runs."""
        return f"trackio show --project {shlex.quote(self._project)}"

    def log(self, run: TrackedRun) -> bool:
        """Write the run; one of the same cell with other content is deleted."""
        for found in self._runs(run.name):
            if (found.config or {}).get(_DIGEST) == run.digest:
                return False
            found.delete()
        with redirect_stdout(io.StringIO()):  # it greets every run
            self._write(run)
        return True

    def close(self) -> None:
        """Do nothing: every run has ended."""

    def _runs(self, name: str) -> list[Any]:
        """Return the runs of a name; none if there is no such project yet."""
        try:
            return [found for found in trackio.Api().runs(self._project) if found.name == name]
        except ValueError:
            return []

    def _write(self, run: TrackedRun) -> None:
        ended = {"cell_id": run.cell_id, "status": run.status.value, "reason": run.reason}
        sent = trackio.init(
            self._project,
            name=run.name,
            group=run.group,
            config={**run.config, **run.provenance, **ended, _DIGEST: run.digest},
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        epochs = run.epochs
        last = max(epochs, default=0)
        epochs[last] = {**epochs.get(last, {}), **run.metrics}
        for epoch, values in epochs.items():
            sent.log(values, step=epoch)
        trackio.finish()
