"""What people are told before a run and beside its numbers: what is used, what may mislead."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.grid import PlannedCell
from bench.records import CellRecord, CellSpec
from bench.workbench import Workbench

ENOUGH_STEPS = 40
"""Fewer optimizer steps than this leave most facts unlearned at any default learning rate."""


def opening_notes(
    cells: Sequence[PlannedCell], todo: Sequence[PlannedCell], bench: Workbench
) -> list[str]:
    """Say what of each task is used; what cannot be measured is said before a model is loaded."""
    used = {
        f"{cell.spec.task}: {cell.spec.facts} of {cell.data.available} facts (--limit)": None
        for cell in cells
        if cell.spec.facts < cell.data.available
    }
    remarks = {
        note: None for cell in todo for note in (*few_steps(cell.spec), *bench.suite(cell).notes)
    }
    return [*used, *remarks]


def few_steps(spec: CellSpec) -> list[str]:
    """Warn where a small task at the default epochs is hardly trained at all."""
    steps = math.ceil(spec.facts / spec.batch_size) * spec.epochs
    if steps >= ENOUGH_STEPS:
        return []
    return [
        f"{spec.task}: {steps} optimizer steps are few for learning facts; "
        "raise --epochs or lower --batch-size"
    ]


def halved_batches(record: CellRecord) -> list[str]:
    """Say that a cell's batches did not fit into memory as a whole."""
    if record.accumulation == 1:
        return []
    return [
        f"{record.spec.method}: memory ran out with batches of {record.spec.batch_size} facts; "
        f"each was run in {record.accumulation} parts with their gradients added up"
    ]
