"""The grid: which cells a run needs and which of them are done already.

A tuned grid has two sets of cells. Every candidate of a method trains on the tuning set, with seeds
that report nothing; when all of them have ended, the best one trains on the reporting set, with
every seed. Until then the cells of the second set have the state "to be chosen".

With `--after` there are first steps, which the others start from. They run before all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.config.options import Rerun, RunOptions
from bench.config.types import Checkpoints
from bench.planning.cell_groups import Group, groups_of
from bench.planning.planned_cell import CellState, PlannedCell
from bench.planning.tuning import best_trial, trials_of
from bench.store.formats import CellSummary
from bench.store.records import Status
from tasks.forgetting.names import ForgettingKind

if TYPE_CHECKING:
    from bench.store.store import ResultsStore


TO_START_FROM = "the adapter to start from"
"""What a first step lacks whose adapter is gone."""


def plan_grid(options: RunOptions, store: ResultsStore) -> list[PlannedCell]:
    """Return the cells of a run, those of one model and task together; load no model.

    Raises:
        UsageError: A name is unknown, a facts file cannot be read, or a model has no revision.
    """
    return current_cells(groups_of(options), options, store)


def current_cells(
    groups: Iterable[Group], options: RunOptions, store: ResultsStore
) -> list[PlannedCell]:
    """Return the cells of groups in their present state, for the candidates chosen so far."""

    def current(cells: Sequence[PlannedCell]) -> list[PlannedCell]:
        return [planned(cell, options, store) for cell in cells]

    found = []
    for group in groups:
        found += current([cell for cells in group.tuning for cell in cells])
        chosen = _chosen(group, store)
        found += current(chosen) if chosen and chosen[0].chosen else chosen
    followed = {
        cell.first.cell_id
        for cell in found
        if cell.first and (cell.runs or cell.state is CellState.OPEN)
    }
    return [_unneeded(cell) if cell.cell_id not in followed else cell for cell in found]


def _unneeded(cell: PlannedCell) -> PlannedCell:
    """Return a cell in its state if nothing that is left to run starts from it."""
    return replace(cell, state=CellState.DONE, why="") if cell.why == TO_START_FROM else cell


def _chosen(group: Group, store: ResultsStore) -> tuple[PlannedCell, ...]:
    """Return the cells of the best candidate; open ones if it is not known yet."""
    if not group.tuning:
        return group.reporting[0]
    tried = []
    for cells in group.tuning:
        found = [_ended(store.summary(cell.cell_id)) for cell in cells]
        ended = [summary for summary in found if summary is not None]
        if len(ended) == len(cells):
            tried.append(ended)
    if len(tried) < len(group.tuning):
        told = f"{len(tried)} of {len(group.tuning)} candidates tried"
        return _open(group, CellState.OPEN, told)
    planned = [cells[0].spec for cells in group.tuning]
    trials = [replace(t, spec=spec) for t, spec in zip(trials_of(tried), planned, strict=True)]
    best = best_trial(trials)
    if best is None:
        return _open(group, CellState.FAILED, f"none of {len(trials)} candidates has a result")
    return group.reporting[planned.index(best.spec)]


def _ended(found: CellSummary | str | None) -> CellSummary | None:
    """Return a summary of a cell that has ended."""
    if not isinstance(found, CellSummary) or found.status is Status.INTERRUPTED:
        return None
    return found


def _open(group: Group, state: CellState, why: str) -> tuple[PlannedCell, ...]:
    """Return the cells of the candidate with the most epochs, which stand for the unknown ones."""
    longest = max(group.reporting, key=lambda cells: cells[0].spec.epochs)
    return tuple(replace(cell, state=state, why=why, chosen=False) for cell in longest)


def planned(cell: PlannedCell, options: RunOptions, store: ResultsStore) -> PlannedCell:
    """Return the cell with its present state in the store."""
    stamp = store.stamp(cell.cell_id)  # before its record is read
    if stamp is None:
        return cell
    record = store.summary(cell.cell_id)
    if isinstance(record, str):
        return replace(cell, stamp=stamp, why=record, damaged=True)
    if record is None or options.rerun is Rerun.ALL or record.status is Status.INTERRUPTED:
        return replace(cell, stamp=stamp)
    if record.status is Status.SKIPPED and cell.first is not None:
        waits = planned(cell.first, options, store).state is not CellState.FAILED
        return replace(cell, stamp=stamp, state=CellState.MISSING if waits else CellState.FAILED)
    if record.status is not Status.DONE:
        state = CellState.MISSING if options.rerun is Rerun.FAILED else CellState.FAILED
        return replace(cell, stamp=stamp, state=state)
    why = _lacking(cell, record, options, store.folder)
    if not why:
        return replace(cell, stamp=stamp, state=CellState.DONE)
    whole = store.read(cell.cell_id)
    lacking = replace(cell, stamp=stamp, state=CellState.LACKS, why=why)
    if whole is None:
        return lacking
    return replace(
        lacking,
        earlier=tuple(whole.forgetting),
        earlier_path=tuple(whole.path),
        earlier_evaluated=tuple(whole.evaluated),
        earlier_change=whole.change,
    )


def _lacking(cell: PlannedCell, record: CellSummary, options: RunOptions, folder: Path) -> str:
    """Name what a done cell lacks of what the run asks for; empty if nothing.

    Args:
        cell: The cell.
        record: What is stored of it.
        options: The options of the run.
        folder: The results folder.
    """
    # Saving that failed once would fail again: only `--rerun failed` tries it.
    given_up = record.save_failed and options.rerun is not Rerun.FAILED
    if options.save_adapters and not record.adapter_path and not given_up:
        return "adapter"
    present = {(f.task, f.limit) for f in record.forgetting}
    missing = [str(n) for n in cell.forgetting if (str(n), options.forgetting_limit) not in present]
    learned = {(e.task, e.limit) for e in record.evaluated}
    missing += [
        f"{name} (--evaluate)"
        for name in cell.evaluate
        if (str(name), options.evaluate_limit) not in learned
    ]
    if not missing and _lacks_path(cell, record, options.checkpoints):
        return "checkpoints"
    if not missing and _lacks_change(cell, record):
        return "--explain"
    saved = record.adapter_path and (folder / record.adapter_path).is_dir()
    if not missing and cell.is_first and not saved and not given_up:
        return TO_START_FROM
    return ", ".join(missing)


def _lacks_change(cell: PlannedCell, record: CellSummary) -> bool:
    """Return whether `--explain` asks for knowledge that a cell's change was not measured on."""
    found = record.change.knowledge_digest if record.change else ""
    return bool(cell.knowledge_digest) and found != cell.knowledge_digest


def _lacks_path(cell: PlannedCell, record: CellSummary, wanted: Checkpoints) -> bool:
    """Return whether a cell was not measured at the checkpoints that are asked for."""
    if wanted is Checkpoints.LAST:
        return False
    drift = any(name.kind is ForgettingKind.DRIFT for name in cell.forgetting)
    others = {str(name) for name in cell.forgetting if name.kind is not ForgettingKind.DRIFT}
    tasks = others if wanted is Checkpoints.ALL else set()
    points = {point.epoch: point for point in record.path}
    return bool(drift or tasks) and not all(
        (point := points.get(epoch))
        and (point.drift is not None or not drift)
        and tasks <= point.forgetting.keys()
        for epoch in range(1, cell.spec.epochs + 1)
    )
