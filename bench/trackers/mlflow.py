"""MLflow: one run per cell, below a parent run that seeds of one setting share.

MLflow keeps runs in a database or on a server. Its older store of files must be allowed by a
variable, which is set here if a target names such a store.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from bench.store.records import Status
from bench.trackers.registry import PROJECT
from bench.trackers.tracked_run import TrackedRun
from tasks.errors import UsageError

_Item = TypeVar("_Item")

CELL, GROUP, RECORD = "cell_id", "cell_group", "record"
"""Tags by which runs are found: of a cell, of the parent of seeds, and what was logged."""

PARENT = "mlflow.parentRunId"
_BATCH = 100
"""Parameters and tags that MLflow takes at once; of numbers it takes ten times as many."""
_LONGEST_VALUE = 500
_NOT_IN_NAMES = re.compile(r"[^\w.:/ -]")


class MLflow:
    """Logs to an MLflow store.

    Args:
        target: The URI of a store, or a folder; by default the one of MLFLOW_TRACKING_URI, else
            the database `mlflow.db` in the results folder.
        folder: The results folder.

    Raises:
        UsageError: The store cannot be reached.
    """

    def __init__(self, target: str, folder: Path) -> None:
        default = f"sqlite:///{folder.absolute()}/mlflow.db"
        self._uri = target or os.environ.get("MLFLOW_TRACKING_URI") or default
        if self._uri.startswith("file:") or "://" not in self._uri:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        # They tell of every table that they create; MLflow sets its level when it is imported.
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            self._client = MlflowClient(tracking_uri=self._uri)
            self._experiment = self._experiment_named(
                os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
            )
        except MlflowException as error:
            told = str(error).strip().splitlines()[0]
            raise UsageError(f"mlflow: cannot use the store '{self._uri}': {told}") from error

    @property
    def look(self) -> str:
        """The command that shows the runs, or the address of the server."""
        if self._uri.startswith("http"):
            return self._uri
        return f"mlflow ui --backend-store-uri {self._uri}"

    def log(self, run: TrackedRun) -> bool:
        """Create the run; one of the same cell with other content is deleted."""
        earlier = self._runs(CELL, run.cell_id)
        if any(found.data.tags.get(RECORD) == run.digest for found in earlier):
            return False
        for found in earlier:
            self._client.delete_run(found.info.run_id)
        self._write(run, self._parent(run))
        return True

    def close(self) -> None:
        """Do nothing: every run has ended."""

    def _experiment_named(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        created = found.experiment_id if found else self._client.create_experiment(name)
        return str(created)

    def _runs(self, tag: str, value: str) -> Sequence[Any]:
        quoted = value.replace("'", "")  # both stores read names within single quotes
        found: Sequence[Any] = self._client.search_runs(
            [self._experiment], f"tags.{tag} = '{quoted}'"
        )
        return found

    def _parent(self, run: TrackedRun) -> str:
        """Return the run that seeds of one setting belong to; create it if there is none."""
        group = run.group.rpartition(" ")[2]
        for found in self._runs(GROUP, group):
            return str(found.info.run_id)
        created = self._client.create_run(
            self._experiment, _milliseconds(run), {GROUP: group}, run_name=run.group
        )
        self._client.set_terminated(created.info.run_id, "FINISHED", _milliseconds(run))
        return str(created.info.run_id)

    def _write(self, run: TrackedRun, parent: str) -> None:
        from mlflow.entities import Metric, Param, RunTag

        at = _milliseconds(run)
        ended = {"status": run.status.value, "reason": run.reason, "group": run.group}
        tags = {name: value for name, value in {**ended, **run.provenance}.items() if value != ""}
        points = [(n, v, e) for n, values in run.curves.items() for e, v in values.items()]
        last = max(run.epochs, default=0)
        points += [(name, value, last) for name, value in run.metrics.items()]
        created = self._client.create_run(
            self._experiment, at, {CELL: run.cell_id, PARENT: parent}, run_name=run.name
        )
        identity = created.info.run_id
        for batch in _batches(_texts(run.config)):
            self._client.log_batch(identity, params=[Param(*pair) for pair in batch])
        for batch in _batches(_texts(tags)):
            self._client.log_batch(identity, tags=[RunTag(*pair) for pair in batch])
        for several in _batches(points):
            metrics = [Metric(_name(name), value, at, epoch) for name, value, epoch in several]
            self._client.log_batch(identity, metrics=metrics)
        # Last: a run that was cut short has no digest, and is replaced the next time.
        self._client.set_tag(identity, RECORD, run.digest)
        done = run.status is Status.DONE
        self._client.set_terminated(identity, "FINISHED" if done else "FAILED", at)


def _milliseconds(run: TrackedRun) -> int:
    return int(run.finished * 1000)


def _texts(content: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(_name(name), str(value)[:_LONGEST_VALUE]) for name, value in content.items()]


def _name(name: str) -> str:
    """Return a name in characters that MLflow takes."""
    return _NOT_IN_NAMES.sub("_", name)


def _batches(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch
