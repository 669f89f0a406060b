"""The model that a second step starts from: the base with what a first step has trained.

It is a copy of the module tree whose weights are those of the base, except where the first step's
have been merged in. The second step calls it its base: a recipe decides on what this model knows,
prepares on its weights, and has to begin as an identity to it. A mode other than `merged` trains
the first adapter's form instead of its sum, which is the same model up to rounding.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.cell.attach import Attached
from bench.inference.equivalence import relative_difference
from bench.libraries import heard
from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from bench.planning.planned_cell import PlannedCell
from bench.publishing.active import limit_of, probe_logits
from bench.store.records import Status
from bench.store.store import ResultsStore
from methods.parts import Adapter
from methods.two_steps.merged import merge_saved
from methods.two_steps.mode import VERSION
from methods.two_steps.saved import save_steps
from tasks.errors import UsageError


class SkippedError(UsageError):
    """A cell cannot run because another one has no result."""


def folder_of(first: PlannedCell, results: Path) -> Path:
    """Return where a first step has saved what it trained.

    Raises:
        SkippedError: It has no result, or has saved nothing.
    """
    record = ResultsStore(results).read(first.cell_id)
    named = f"the first step on {first.spec.task} (cell {first.cell_id})"
    if record is None:
        raise SkippedError(f"{named} has no result")
    if record.status is not Status.DONE:
        raise SkippedError(f"{named} ended as {record.status}: {record.reason}")
    folder = results / record.adapter_path
    if not record.adapter_path or not folder.is_dir():
        why = next((line for line in record.warnings if "was not saved" in line), "")
        raise SkippedError(f"{named} has no saved adapter{f': {why}' if why else ''}")
    return folder


def started_base(base: Base, first: PlannedCell, folder: Path) -> Base:
    """Return the model after a first step; the base is not changed.

    Raises:
        UsageError: What was saved cannot be merged into the base, or gives another model.
    """
    loan = borrow(base)
    probe = partial(probe_logits, base=base.model)
    with heard():  # what libraries warn of here, they have warned of in the first step
        model, before = merge_saved(loan.model, folder, probe)
    loan.settle()
    limit = limit_of(base.model.dtype)
    if before is not None and not relative_difference(probe(model), before) < limit:
        raise UsageError(
            f"merging the adapter of {first.spec.method} gives another model than the adapter: "
            "use --after ...:frozen, or begin with lora"
        )
    revision = f"{base.revision} after {first.cell_id}, {VERSION}"
    return replace(base, revision=revision, model=model)


def save_second(adapter: Adapter, attached: Attached, first: Path, folder: Path) -> None:
    """Save a second step so that it answers on the untouched base, see `save_steps`.

    Args:
        adapter: The second step's adapter.
        attached: What it was attached to; its model must not be used afterwards.
        first: What the first step has saved.
        folder: Where to write.
    """
    model = attached.model
    save = partial(adapter.save, model, attached.prepared, attached.setting)
    save_steps(model, save, first, attached.pair, folder)
