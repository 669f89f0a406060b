"""Run one cell, from its recipe to its record.

facts -> signals -> which facts, their weights, which layers -> prepare and attach
      -> train -> evaluate -> measure forgetting -> record
"""

from __future__ import annotations

import shutil
import traceback
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from bench import failures
from bench.cell.attach import Attached, attach
from bench.cell.context import CellContext
from bench.cell.equal_learning import drift_at_shares
from bench.cell.phases import PhaseClock
from bench.evaluation.fact_rows import fact_rows
from bench.evaluation.metrics import summarise
from bench.evaluation.responses import respond
from bench.evaluation.round_trip import refuse_unanswerable
from bench.evaluation.signals import BaseSignals
from bench.forgetting.path import merged
from bench.libraries import heard
from bench.models.loading import Base
from bench.models.provenance import provenance
from bench.planning.notices import few_steps, halved_batches, several_prompts
from bench.planning.planned_cell import PlannedCell
from bench.progress.base import Progress
from bench.store.records import CellRecord, FactRow, Metrics, PhaseName, Status
from bench.training.loop import DivergenceError, train
from methods.notes import stored
from tasks.errors import UsageError


@dataclass
class CellResult:
    """The results of a cell so far; complete only if the cell is done."""

    record: CellRecord
    rows: list[FactRow] = field(default_factory=list)

    def update(self, **values: object) -> None:
        """Set fields of the record."""
        self.record = self.record.model_copy(update=values)


def run_cell(cell: PlannedCell, context: CellContext, progress: Progress) -> CellResult:
    """Run one cell; what goes wrong in it is written to its record.

    If memory runs out, the cell is run once more with each batch in two halves.

    Raises:
        NoSpaceError: The disk is full, which ends the run.
    """
    result = CellResult(_fresh(cell, micro_batches=1))
    try:
        with failures.time_limit(context.options.timeout):
            _attempt(cell, context, result, progress)
            if result.record.status is Status.OUT_OF_MEMORY and cell.spec.batch_size > 1:
                progress.note(f"{result.record.reason}: retrying with half-size micro-batches")
                context.free_memory()
                result.record, result.rows = _fresh(cell, micro_batches=2), []
                _attempt(cell, context, result, progress)
    except failures.CellTimeoutError as error:
        result.update(status=Status.FAILED, reason=str(error))
    except KeyboardInterrupt:
        result.update(status=Status.INTERRUPTED, reason="stopped by Ctrl-C")
    return result


def _fresh(cell: PlannedCell, micro_batches: int) -> CellRecord:
    return CellRecord(
        cell_id=cell.cell_id, spec=cell.spec, status=Status.FAILED, micro_batches=micro_batches
    )


def _attempt(
    cell: PlannedCell, context: CellContext, result: CellResult, progress: Progress
) -> None:
    clock: PhaseClock | None = None
    try:
        base = context.start_cell(cell)
        clock = PhaseClock(base.devices, context.cache)
        _measure_cell(cell, base, context, clock, result, progress)
        result.update(status=Status.DONE)
    except DivergenceError as error:
        result.update(status=Status.DIVERGED, reason=str(error), step=error.step)
    except UsageError as error:
        result.update(reason=str(error))
    except Exception as error:  # a part that raises harms its own cell only
        if failures.disk_is_full(error):
            raise failures.no_space(error) from error
        if failures.is_out_of_memory(error):
            result.update(status=Status.OUT_OF_MEMORY, reason=failures.first_line(error))
        else:
            result.update(reason=failures.first_line(error), traceback=traceback.format_exc())
    finally:
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        result.update(
            phases=clock.phases if clock else {},
            provenance={**provenance(context.compute), **context.placed(), "finished": finished},
        )


def _measure_cell(
    cell: PlannedCell,
    base: Base,
    context: CellContext,
    clock: PhaseClock,
    result: CellResult,
    progress: Progress,
) -> None:
    recipe, facts, prompt = cell.recipe, cell.data.facts, cell.data.prompt
    adapter, spec = recipe.adapter, cell.spec
    signals = BaseSignals(base, facts, prompt, context.cache, spec.train_prompt)
    refuse_unanswerable(base, facts, signals.contexts, context.cache)

    progress.phase(PhaseName.PREPARE)
    with clock.phase(PhaseName.PREPARE):
        attached = attach(base, signals, recipe, spec, cell.calibration)
    plan = replace(attached.plan, micro_batches=result.record.micro_batches)
    model, decisions = attached.model, attached.decisions
    result.update(
        init_difference=attached.difference,
        identity=attached.difference <= attached.tolerance,
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        parameters_total=sum(p.numel() for p in base.model.parameters()),
    )

    progress.phase(PhaseName.TRAIN, plan.steps)
    path = context.path(cell, model, clock)
    with clock.phase(PhaseName.TRAIN):
        torch.manual_seed(spec.seed)  # as before `prepare` and `attach`, see bench.cell.attach
        log = train(model, adapter, plan, progress.step, path.measure)
    result.update(curve=log.curve, flops=log.flops)
    if changed := attached.loan.changed():
        context.drop_base()  # some of them may be the base's own
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UsageError(
            f"training changed {changed[0]}{more}, which require no gradients: the adapter must "
            "leave the frozen weights alone, or copy what it writes to"
        )

    # Here and not first: by now other workers have done some of it, or will do it meanwhile.
    context.measure_base(cell, signals, progress)

    progress.phase(PhaseName.EVALUATE)
    with clock.phase(PhaseName.EVALUATE):
        after = respond(model, signals.contexts, facts, signals.before)
        result.rows, unmeasured = fact_rows(
            signals, after, decisions.kept, decisions.weights, log.accuracies
        )
    notes = (*decisions.notes, *adapter.notes(model, attached.prepared))
    metrics = summarise(result.rows)
    result.update(
        metrics=metrics,
        warnings=[
            *(line for one in notes for line in one.warnings),
            *unmeasured,
            *few_steps(cell.spec),
            *several_prompts(cell.spec),
            *halved_batches(result.record),
            *(note for task in context.forgetting_tasks(cell) for note in task.notes),
        ],
        notes=stored(notes),
    )

    progress.phase(PhaseName.FORGET)
    with clock.phase(PhaseName.FORGET):
        measured = context.suite(cell).measure(model)
        now = {found.task for found in measured}
        # `earlier` is what a previous run of an incomplete cell measured.
        earlier = [found for found in cell.earlier if found.task not in now]
        ended = merged(cell.earlier_path, path.ended(plan.epochs_begun, measured))
        metrics = Metrics(**metrics.model_dump(), **drift_at_shares(result.rows, ended))
        result.update(forgetting=[*measured, *earlier], path=ended, metrics=metrics)
    if context.options.save_adapters:
        _save(cell, context, attached, result)


def _save(cell: PlannedCell, context: CellContext, attached: Attached, result: CellResult) -> None:
    """Save the adapter; a cell that was measured stays measured if that fails."""
    folder = Path("adapters", cell.cell_id)
    target = context.options.out / folder
    saved, lines, failed = str(folder), [], False
    try:
        with heard() as lines:
            cell.recipe.adapter.save(attached.model, attached.prepared, attached.setting, target)
    except (Exception, failures.CellTimeoutError) as error:  # whatever a library raises
        if failures.disk_is_full(error):
            raise
        shutil.rmtree(target, ignore_errors=True)  # half an adapter is none
        told = str(error) if isinstance(error, UsageError) else failures.first_line(error)
        saved, failed, lines = "", True, [*lines, f"the adapter was not saved: {told}"]
    warnings = list(dict.fromkeys([*result.record.warnings, *lines]))
    result.update(adapter_path=saved, save_failed=failed, warnings=warnings)
