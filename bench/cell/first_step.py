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

import torch
from torch import Tensor, nn

from bench.cell.attach import Attached
from bench.inference.equivalence import FLOAT32_LIMIT, relative_difference
from bench.libraries import heard
from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from bench.planning.planned_cell import PlannedCell
from bench.store.records import Status
from bench.store.store import ResultsStore
from methods.parts import Adapter
from methods.two_steps.merged import merge_saved
from methods.two_steps.mode import VERSION
from methods.two_steps.saved import save_steps
from tasks.errors import UsageError

PROBE_TOKENS = 16
"""Tokens on which a merged model is compared with what was merged."""


ROUNDED_LIMIT = 0.1
"""Largest relative difference of its logits in half precision, where the sum is rounded."""


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
    probe = partial(_probe, base)
    with heard():  # what libraries warn of here, they have warned of in the first step
        model, before = merge_saved(loan.model, folder, probe)
    loan.settle()
    exact = base.model.dtype == torch.float32
    limit = FLOAT32_LIMIT if exact else ROUNDED_LIMIT
    if before is not None and not relative_difference(probe(model), before) < limit:
        raise UsageError(
            f"merging the adapter of {first.spec.method} gives another model than the adapter: "
            "use --after ...:frozen, or begin with lora"
        )
    revision = f"{base.revision} after {first.cell_id}, {VERSION}"
    return replace(base, revision=revision, model=model)


@torch.no_grad()
def _probe(base: Base, model: nn.Module) -> Tensor:
    """Return the logits of a few tokens of the vocabulary."""
    count = base.model.get_input_embeddings().num_embeddings
    tokens = torch.linspace(1, count - 1, PROBE_TOKENS, device=base.device).long()[None]
    logits: Tensor = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    return logits.float()


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
