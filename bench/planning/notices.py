"""What people are told before a run and beside its numbers: what is used, what may mislead."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.planning.planned_cell import PlannedCell
from bench.planning.tuning import shown
from bench.store.records import CellRecord, CellSpec
from tasks.division import FactSet

ENOUGH_STEPS = 40
"""Fewer optimizer steps than this leave most facts unlearned at any default learning rate."""


def stage_notes(cells: Sequence[PlannedCell]) -> list[str]:
    """Say what a stage of a tuned grid does, and what was chosen for the second one."""
    tuned = {_place(cell): cell for cell in cells if cell.spec.tuned}
    if not tuned:
        return []
    if cells[0].spec.fact_set is FactSet.TUNING:
        return [
            "stage 1 of 2: every candidate is trained on the tuning facts and scored there, with "
            f"seed {cells[0].spec.seed} alone"
        ]
    chosen = [f"{place}: {_choice(cell)}" for place, cell in tuned.items() if _choice(cell)]
    return ["stage 2 of 2: the best candidates are trained on the reporting facts", *chosen]


def _place(cell: PlannedCell) -> str:
    return f"{cell.spec.asked} · {cell.spec.model} · {cell.spec.task}"


def _choice(cell: PlannedCell) -> str:
    if not cell.chosen:
        return cell.why
    return shown(cell.spec, cell.spec.tuned.over) if cell.spec.tuned else ""


def opening_notes(cells: Sequence[PlannedCell], todo: Sequence[PlannedCell]) -> list[str]:
    """Say what of each task is used, and where that is little."""
    used: dict[str, None] = {}
    for cell in cells:
        spec, available = cell.spec, cell.data.available
        kind = f"{spec.fact_set} facts" if spec.fact_set else "facts"
        if spec.facts < available:
            used[f"{spec.task}: {spec.facts} of {available} {kind} (--limit)"] = None
    remarks = {note: None for cell in todo for note in few_steps(cell.spec)}
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
