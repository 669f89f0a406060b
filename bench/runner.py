"""The story of a run: from a recipe to a record, cell by cell.

facts -> signals -> what is kept, how it weighs, which layers -> prepare and attach
      -> train -> evaluate -> forget -> record
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from bench.attaching import Attached, attach
from bench.cautions import few_steps, opening_notes
from bench.decisions import merged_notes
from bench.device import choose_compute, provenance
from bench.evaluation import fact_rows, respond, summarise
from bench.grid import CellState, PlannedCell, plan_grid
from bench.models import Base
from bench.options import RunOptions
from bench.phases import PhaseClock
from bench.progress import Progress
from bench.records import CellRecord, FactRow, Forgetting, PhaseName, Status
from bench.signals import BaseSignals
from bench.store import ResultsStore
from bench.training import DivergenceError, train
from bench.workbench import Workbench
from tasks.errors import UsageError

IDENTITY_TOLERANCE = 1e-3
"""Largest |logit difference| to the base, in float32, of an adapter that starts as an identity."""


@dataclass(frozen=True)
class GridOutcome:
    """How a run ended.

    Attributes:
        records: The records of the grid's cells that exist, old and new.
        interrupted: Whether Ctrl-C ended it.
        ran, reused: Cells that ran now, and that were done before.
    """

    records: list[CellRecord]
    interrupted: bool
    ran: int
    reused: int


@dataclass
class CellResult:
    """What a cell has found so far; whole when it is done, partial when it stopped early."""

    record: CellRecord
    rows: list[FactRow] = field(default_factory=list)

    def update(self, **values: object) -> None:
        """Set fields of the record."""
        self.record = self.record.model_copy(update=values)


def run_grid(options: RunOptions, progress: Progress) -> GridOutcome:
    """Run what is missing of a grid; finished cells are stored as they finish.

    Raises:
        UsageError: Wrong names, unreadable facts, an unwritable results folder: before any cell.
    """
    store = ResultsStore(options.out)
    store.ensure_writable()
    cells = plan_grid(options, store)
    todo = [cell for cell in cells if cell.state in (CellState.MISSING, CellState.LACKS)]
    progress.grid(len(todo), len(cells) - len(todo))
    bench = Workbench(options, choose_compute(options.device, options.dtype), progress.note)
    for line in opening_notes(cells, todo, bench):
        progress.note(line)
    ran, interrupted = 0, False
    try:
        for index, cell in enumerate(todo, start=1):
            progress.cell(index, len(todo), label(cell))
            result = run_cell(cell, bench, progress)
            _store(store, result)
            progress.end_cell(result.record.status, outcome_line(result.record))
            ran += 1
    except KeyboardInterrupt:
        interrupted = True
    finally:
        progress.close()
    found = [store.read(cell.cell_id) for cell in cells]
    return GridOutcome(
        [record for record in found if record], interrupted, ran, len(cells) - len(todo)
    )


def _store(store: ResultsStore, result: CellResult) -> None:
    """Write a cell; numbers that are not finite make it a failed one."""
    try:
        store.write(result.record, result.rows)
    except ValueError as error:
        kept = result.record.model_dump(include={"cell_id", "spec", "provenance", "phases"})
        failed = CellRecord.model_validate(
            {**kept, "status": Status.FAILED, "reason": _first_line(error)}
        )
        result.record, result.rows = failed, []
        store.write(result.record, result.rows)


def run_cell(cell: PlannedCell, bench: Workbench, progress: Progress) -> CellResult:
    """Run one cell to a record; whatever goes wrong in it ends in its record."""
    result = CellResult(CellRecord(cell_id=cell.cell_id, spec=cell.spec, status=Status.FAILED))
    bench.cache.start_cell()
    clock: PhaseClock | None = None
    try:
        base = bench.base(cell)
        clock = PhaseClock(base.device, bench.cache)
        _measure_cell(cell, base, bench, clock, result, progress)
        result.update(status=Status.DONE)
    except DivergenceError as error:
        result.update(status=Status.DIVERGED, reason=str(error), step=error.step)
    except UsageError as error:
        result.update(reason=str(error))
    except (torch.OutOfMemoryError, MemoryError) as error:
        result.update(status=Status.OUT_OF_MEMORY, reason=_first_line(error))
    except Exception as error:  # a part that raises harms its own cell only
        result.update(reason=_first_line(error), traceback=traceback.format_exc())
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    result.update(
        phases=clock.phases if clock else {},
        provenance={**provenance(bench.compute), "finished": finished},
    )
    return result


def _measure_cell(
    cell: PlannedCell,
    base: Base,
    bench: Workbench,
    clock: PhaseClock,
    result: CellResult,
    progress: Progress,
) -> None:
    recipe, facts, prompt = cell.recipe, cell.data.facts, cell.data.prompt
    adapter, spec = recipe.adapter, cell.spec
    signals = BaseSignals(base, facts, prompt, bench.cache)

    progress.phase(PhaseName.PREPARE)
    with clock.phase(PhaseName.PREPARE):
        attached = attach(base, signals, recipe, spec, cell.calibration)
    model, plan, decisions = attached.model, attached.plan, attached.decisions
    result.update(
        init_difference=attached.difference,
        identity=attached.difference < IDENTITY_TOLERANCE,
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        parameters_total=sum(p.numel() for p in base.model.parameters()),
    )

    progress.phase(PhaseName.TRAIN, plan.steps)
    with clock.phase(PhaseName.TRAIN):
        torch.manual_seed(spec.seed)
        log = train(model, adapter, plan, progress.step)
    result.update(curve=log.curve, flops=log.flops)

    progress.phase(PhaseName.EVALUATE)
    with clock.phase(PhaseName.EVALUATE):
        before = signals.before
        after = respond(model, base.tokenizer, facts, prompt, before)
        curves: list[list[float]] = [[] for _ in facts]
        for index, history in zip(decisions.chosen, log.accuracies, strict=True):
            curves[index] = history
        result.rows = fact_rows(
            facts,
            before,
            after,
            signals.space,
            knowledge=signals.knowledge,
            weights=decisions.weights.tolist(),
            kept=decisions.kept.tolist(),
            curves=curves,
        )
    notes = merged_notes(decisions.notes, adapter.notes(model, attached.prepared))
    result.update(
        metrics=summarise(result.rows),
        warnings=[*notes.pop("warnings"), *few_steps(cell.spec), *bench.suite(cell).notes],
        notes=notes,
    )

    progress.phase(PhaseName.FORGET)
    with clock.phase(PhaseName.FORGET):
        measured = bench.forgetting(cell, base, model)
        result.update(forgetting=[*measured, *_measured_before(cell, measured)])
    if bench.options.save_adapters:
        result.update(adapter_path=_save(cell, attached, bench.options.out))


def label(cell: PlannedCell) -> str:
    """Name a cell for people."""
    spec = cell.spec
    return (
        f"{spec.method} · {spec.model} · {spec.task} · lr {spec.learning_rate:g} · seed {spec.seed}"
    )


def outcome_line(record: CellRecord) -> str:
    """Say in one line how a cell ended."""
    if record.metrics is None or record.metrics.reliability is None:
        return record.reason
    lost = [f"{f.task} {f.forgetting:+.3f}" for f in record.forgetting]
    return ", ".join([f"reliability {record.metrics.reliability:.2f}", *lost])


def _measured_before(cell: PlannedCell, measured: Sequence[Forgetting]) -> list[Forgetting]:
    """Return what an earlier run of this very cell measured on other forgetting tasks."""
    if cell.state is not CellState.LACKS:
        return []
    now = {found.task for found in measured}
    return [found for found in cell.earlier if found.task not in now]


def _save(cell: PlannedCell, attached: Attached, out: Path) -> str:
    folder = out / "adapters" / cell.cell_id
    cell.recipe.adapter.save(attached.model, attached.prepared, attached.setting, folder)
    return str(folder.relative_to(out))


def _first_line(error: BaseException) -> str:
    lines: Sequence[str] = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
