"""Which trackers there are, what `--log-to` may name, and how a tracker is opened.

Nothing here imports a tracker's library, which may take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import UsageError, nearest

if TYPE_CHECKING:
    from bench.trackers.tracker import Tracker

PROJECT = "semantic-peft-bench"
"""The project, or experiment, that runs belong to unless a target says otherwise."""

NONE = "none"
"""What `--log-to` says to turn off the trackers of a grid file."""

_CREDENTIALS = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class TrackerKind:
    """A tracker that runs can be logged to.

    Attributes:
        place: The module and class: `bench.trackers.tensorboard:TensorBoard`.
        needs: The packages that it imports.
    """

    place: str
    needs: tuple[str, ...]


TRACKERS = {
    "tensorboard": TrackerKind("bench.trackers.tensorboard:TensorBoard", ("tensorboard",)),
    "wandb": TrackerKind("bench.trackers.wandb:WeightsAndBiases", ("wandb",)),
    "mlflow": TrackerKind("bench.trackers.mlflow:MLflow", ("mlflow", "alembic")),
    "trackio": TrackerKind("bench.trackers.trackio:Trackio", ("trackio",)),
}
"""By the name that users write, which is also the name of the extra."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One value of `--log-to`.

    Attributes:
        tracker: A name of `TRACKERS`.
        target: A folder, a URI or a project; empty for the tracker's default.
    """

    tracker: str
    target: str = ""


def destinations(written: Sequence[str], option: str = "--log-to") -> tuple[Destination, ...]:
    """Read values such as `tensorboard`, `mlflow:URI` and `wandb:PROJECT`.

    Args:
        written: The values; `none` alone means that nothing is logged.
        option: The option that holds them, for errors.

    Raises:
        UsageError: A tracker is unknown or not installed, or a target holds credentials.
    """
    if tuple(written) == (NONE,):
        return ()
    return tuple(dict.fromkeys(_destination(value, option) for value in written))


def _destination(value: str, option: str) -> Destination:
    tracker, colon, target = value.partition(":")
    if tracker not in TRACKERS:
        close = nearest(tracker, TRACKERS)
        hint = f"did you mean {' or '.join(close)}?" if close else f"use {', '.join(TRACKERS)}"
        raise UsageError(f"{option}: unknown tracker '{tracker}': {hint}")
    if colon and not target:
        raise UsageError(f"{option} '{value}': write a target after the colon, or no colon")
    if _CREDENTIALS.search(target):  # the error must not repeat them
        raise UsageError(
            f"{option} {tracker}: user names and passwords do not belong in a target; set the "
            "variables that the tracker reads, such as MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    for package in TRACKERS[tracker].needs:
        if find_spec(package) is None:
            raise UsageError(
                f"{option} {tracker} needs the package {package}, which is not installed: "
                f'pip install "semantic-peft-bench[{tracker}]"'
            )
    return Destination(tracker, target)


def open_tracker(destination: Destination, folder: Path) -> Tracker:
    """Open a tracker, which imports its library.

    Args:
        destination: Which one, and where it stores runs.
        folder: The results folder, below which local trackers store runs by default.

    Raises:
        UsageError: It cannot be used as things are; the error says what is missing.
    """
    module, _, name = TRACKERS[destination.tracker].place.partition(":")
    tracker: Tracker = getattr(import_module(module), name)(destination.target, folder)
    return tracker
