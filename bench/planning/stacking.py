"""Which cells may be trained together on one base, and how many at once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from bench.config.options import DeviceMap, RunOptions
from bench.models.device import Compute, card_memory, free_now
from bench.models.shape import weights_of
from bench.planning.memory import ITEM, stack_size
from bench.planning.planned_cell import PlannedCell
from methods.adapters.peft import Peft
from methods.parts import Adapter
from methods.peft_config import read_config
from methods.two_steps.mode import StepMode
from tasks.errors import UsageError


def may_stack(cell: PlannedCell) -> bool:
    """Return whether a cell may be trained with others, as far as a plan can tell.

    What is attached is looked at again, see `bench.stacking.layers.why_alone`.
    """
    if cell.spec.after and cell.spec.after.mode is not StepMode.MERGED:
        return False  # two adapters
    if cell.recipe.penalty is not None:
        return False  # what it adds to the loss is computed with one model
    adapter = cell.recipe.adapter
    if isinstance(adapter, Peft):
        try:
            config = read_config(adapter.path)
        except UsageError:  # the cell itself will tell
            return False
        return config.peft_type == "LORA" and not config.values.get("lora_dropout")
    own = any(
        getattr(type(adapter), name) is not getattr(Adapter, name)
        for name in ("extra_loss", "after_step")
    )
    return hasattr(adapter, "r") and not getattr(adapter, "dropout", 0.0) and not own


def stack_key(cell: PlannedCell) -> Hashable:
    """Return what cells that are trained together have in common: the forward pass of their base.

    Device and attention are those of the run.
    """
    spec = cell.spec
    step = spec.after.cell if spec.after else ""
    return (spec.model, spec.model_revision, spec.dtype, spec.quantisation, step)


def fitting(cell: PlannedCell, others: Sequence[PlannedCell]) -> list[PlannedCell]:
    """Return a cell with those that may be trained with it, first those that are asked the same.

    Args:
        cell: The cell, which comes first.
        others: Cells in the order in which they would run.
    """
    if not may_stack(cell):
        return [cell]
    able = [o for o in others if o is not cell and stack_key(o) == stack_key(cell) and may_stack(o)]
    facts = cell.spec.facts_digest
    return [cell, *sorted(able, key=lambda other: other.spec.facts_digest != facts)]


def most_at_once(
    options: RunOptions, compute: Compute, cells: Sequence[PlannedCell], *, resident: bool = False
) -> int:
    """Return how many cells to train together, at least 1.

    Args:
        options: The options of the run.
        compute: Its device and dtype.
        cells: Cells that may be trained together, the first ones to go first.
        resident: Whether their base is loaded in this process, so that what is free can be asked.
    """
    if options.device_map is DeviceMap.AUTO:
        return 1
    if options.stack != "auto":
        return int(options.stack)
    if not compute.device.startswith("cuda") or len(cells) < 2:
        return 1
    if resident:
        return stack_size(cells, free_now(compute.device))
    base = (weights_of(cells[0].source) or 0.0) * ITEM[compute.dtype]
    return stack_size(cells, card_memory(compute.device) - base)


def stacking_notes(
    options: RunOptions, compute: Compute, cells: Sequence[PlannedCell]
) -> list[str]:
    """Say how many cells would be trained at once; nothing if each would be alone.

    Args:
        options: The options of the run.
        compute: Its device and dtype.
        cells: The cells that are left to run.
    """
    groups: dict[Hashable, list[PlannedCell]] = {}
    for cell in filter(may_stack, cells):
        groups.setdefault(stack_key(cell), []).append(cell)
    sizes = [min(len(some), most_at_once(options, compute, some)) for some in groups.values()]
    most = max(sizes, default=1)
    return [f"up to {most} cells of one model are trained and asked at once"] if most > 1 else []
