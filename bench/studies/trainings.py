"""How a study runs its trainings: each is stored when it ends, and the next call goes on there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from bench.cell.context import CellContext
from bench.config.options import RunOptions
from bench.failures import first_line, is_out_of_memory
from bench.models.device import choose_compute
from bench.models.loading import Base
from bench.models.provenance import provenance
from bench.planning.planned_cell import PlannedCell
from bench.progress.base import Progress
from bench.store import atomic
from bench.store.records import Status
from bench.studies.training_store import Outcome, Record, Trained, TrainingSpec, TrainingStore
from bench.training.loop import DivergenceError
from tasks.errors import UsageError

KEPT = (Status.DONE, Status.DIVERGED)
"""Final statuses; a training that ended otherwise is tried again by the next call."""


class NotFiniteError(Exception):
    """A trained model gives numbers that are not finite: it has diverged."""


class PlannedTraining(Protocol):
    """A training that is read from the store or run."""

    @property
    def spec(self) -> TrainingSpec:
        """What identifies it."""

    @property
    def cell(self) -> PlannedCell:
        """Its model, recipe, prompt and calibration facts."""

    @property
    def label(self) -> str:
        """Its name for people."""


Planned = TypeVar("Planned", bound=PlannedTraining)


def run_missing(
    trainings: Sequence[Planned],
    grid: RunOptions,
    store: TrainingStore[Record, Outcome],
    run: Callable[[Planned, Base, CellContext, Progress], Trained[Record, Outcome]],
    told: Callable[[Trained[Record, Outcome]], str],
    progress: Progress,
) -> dict[str, Trained[Record, Outcome]]:
    """Run the trainings that are not stored; return all of them by their digests.

    Args:
        trainings: Every training once, in the order in which to run them.
        grid: The run options that their cells were planned from.
        store: Where they lie.
        run: Runs one on a resident base; whatever goes wrong is in the record that it returns.
        told: Says in one line how a training ended.
        progress: Shows them.

    Raises:
        UsageError: The folder is not writable, or a model cannot be loaded.
        KeyboardInterrupt: Ctrl-C; says how many trainings are finished. The next call resumes.
    """
    atomic.ensure_writable(store.folder, store.folder)
    compute = choose_compute(grid.device, grid.dtype)
    bench = CellContext(grid, compute, progress.note)
    found = {planned.spec.digest: store.read(planned.spec) for planned in trainings}
    todo = [planned for planned in trainings if found[planned.spec.digest] is None]
    progress.grid(len(todo), len(found) - len(todo))
    results = {digest: trained for digest, trained in found.items() if trained is not None}
    reused = len(results)
    ran_on = provenance(compute)
    try:
        for index, planned in enumerate(todo, start=1):
            progress.cell(index, len(todo), planned.label)
            base = bench.base(planned.cell)
            began = time.perf_counter()
            trained = run(planned, base, bench, progress)
            about = {"provenance": ran_on, "seconds": time.perf_counter() - began}
            trained = replace(trained, record=trained.record.model_copy(update=about))
            results[planned.spec.digest] = trained
            if trained.record.status in KEPT:
                store.write(trained)
            progress.end_cell(trained.record.status, told(trained))
    except KeyboardInterrupt:
        now = len(results) - reused
        what = "training" if len(results) == 1 else "trainings"
        raise KeyboardInterrupt(f"{len(results)} finished {what} ({now} in this run)") from None
    finally:
        progress.close()
    return results


def first_reason(results: Mapping[str, Trained[Record, Outcome]], otherwise: str) -> str:
    """Return why the first of the trainings without a result has none."""
    reasons = (trained.record.reason for trained in results.values())
    return next(filter(None, reasons), otherwise)


def ending(error: Exception) -> tuple[Status, str]:
    """Return the status and the reason of a training that raised, which ends it and no other."""
    if isinstance(error, DivergenceError | NotFiniteError):
        return Status.DIVERGED, str(error)
    if isinstance(error, UsageError):
        return Status.FAILED, str(error)
    status = Status.OUT_OF_MEMORY if is_out_of_memory(error) else Status.FAILED
    return status, first_line(error)


def named(given: str) -> str:
    """Return the name of a model or task as given; of an absolute path only its last part."""
    return Path(given).name if Path(given).is_absolute() else given


def seeds_text(seeds: Sequence[int]) -> str:
    """Write `seed 0` or `seeds 0, 1`."""
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
