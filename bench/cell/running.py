"""A cell under way: its phases in order, and what they found in its record.

    prepare -> train -> evaluate -> forget -> explain -> save

Each phase can be run for the cell alone, or its work is done for several cells at once and handed
to each of them (`bench.runner`). What goes wrong in a phase ends this cell and no other.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from bench import failures
from bench.cell.attach import Attached, Below, attach
from bench.cell.context import CellContext
from bench.cell.equal_learning import drift_at_shares
from bench.cell.first_step import SkippedError, folder_of, save_second
from bench.cell.phases import PhaseClock
from bench.cell.training_states import training_states
from bench.evaluation.fact_rows import fact_rows
from bench.evaluation.metrics import summarise
from bench.evaluation.responses import Responses, respond
from bench.evaluation.round_trip import refuse_unanswerable
from bench.evaluation.signals import BaseSignals
from bench.forgetting.path import ForgettingPath, merged
from bench.inference.encoding import Example
from bench.libraries import heard
from bench.models.loading import Base
from bench.models.provenance import provenance
from bench.optimizations import declined
from bench.planning.notices import (
    continued_training,
    few_of_a_label,
    few_steps,
    halved_batches,
    several_prompts,
    shared_costs,
    tokens_read,
    without_shortcuts,
)
from bench.planning.planned_cell import PlannedCell
from bench.progress.base import Progress
from bench.publishing.active import check_active, probe_logits
from bench.publishing.card import card_of_new
from bench.store.records import (
    CellRecord,
    Evaluated,
    FactRow,
    Forgetting,
    Metrics,
    PhaseName,
    Status,
)
from bench.training.loop import DivergenceError, TrainingLog, TrainingPlan, train
from methods.notes import stored
from methods.targets import text_parameters
from methods.two_steps.mode import StepMode
from tasks.errors import UsageError


@dataclass
class CellResult:
    """The results of a cell so far; complete only if the cell is done."""

    record: CellRecord
    rows: list[FactRow] = field(default_factory=list)

    def update(self, **values: object) -> None:
        """Set fields of the record."""
        self.record = self.record.model_copy(update=values)


class OutOfMemoryInPhaseError(Exception):
    """Memory ran out in a phase, which can be tried again with less.

    Args:
        told: The first line of the error; the error itself would keep what it holds in memory.
    """

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.told = told


class RunningCell:
    """A cell under way.

    Args:
        cell: The cell.
        context: What cells share.
        progress: Shows the phases.
        micro_batches: Number of parts in which each batch is trained.

    Attributes:
        result: What was found so far.
        over: Whether it has ended, done or not.
        attached: Its model, from `prepare` on.
        signals: What the base knows of what is trained, from `prepare` on.
        asked: What it knows of the facts that are asked, which are the same unless held out.
        path: What measures it at checkpoints, from `prepare` on.
        clock: Its phases.
    """

    attached: Attached
    signals: BaseSignals
    asked: BaseSignals
    path: ForgettingPath
    clock: PhaseClock

    def __init__(
        self,
        cell: PlannedCell,
        context: CellContext,
        progress: Progress,
        *,
        micro_batches: int = 1,
    ) -> None:
        self.cell, self.context, self.progress = cell, context, progress
        self.over = False
        record = CellRecord(
            cell_id=cell.cell_id,
            spec=cell.spec,
            status=Status.FAILED,
            micro_batches=micro_batches,
            asks=cell.data.asks,
        )
        self.result = CellResult(record)
        self._log = TrainingLog()

    @property
    def plan(self) -> TrainingPlan:
        """How it is trained."""
        return replace(self.attached.plan, micro_batches=self.result.record.micro_batches)

    @property
    def followed(self) -> list[Example] | None:
        """Held-out facts on the trained prompt, which are looked at after each epoch."""
        contexts = self.asked.contexts
        if not self.cell.data.held_out:
            return None
        return contexts.examples(contexts.asked, self.cell.data.facts)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Write what goes wrong in the block to the record, which ends the cell.

        Raises:
            NoSpaceError: The disk is full, which ends the run.
            OutOfMemoryInPhaseError: Memory ran out.
        """
        try:
            yield
        except Exception as error:  # a part that raises harms its own cell only
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End the cell because of an error.

        Raises:
            NoSpaceError: The disk is full, which ends the run.
            OutOfMemoryInPhaseError: Memory ran out.
        """
        if failures.disk_is_full(error):
            raise failures.no_space(error) from error
        if failures.is_out_of_memory(error):
            raise OutOfMemoryInPhaseError(failures.first_line(error)) from None
        if isinstance(error, DivergenceError):
            self.end(Status.DIVERGED, str(error), step=error.step)
        elif isinstance(error, SkippedError):
            self.end(Status.SKIPPED, str(error))
        elif isinstance(error, UsageError):
            self.end(Status.FAILED, str(error))
        else:
            told = "".join(traceback.format_exception(error))
            self.end(Status.FAILED, failures.first_line(error), traceback=told)

    def end(self, status: Status, reason: str = "", **values: object) -> None:
        """End the cell with a status."""
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        where = {**provenance(self.context.compute), **self.context.placed(), "finished": finished}
        phases = self.clock.phases if hasattr(self, "clock") else {}
        self.result.update(status=status, reason=reason, phases=phases, provenance=where, **values)
        self.over = True

    def prepare(self) -> None:
        """Let the recipe decide, and attach its adapter to the base.

        After a first step, strategies and placements decide by what the model knows that is
        trained, the one after that step (`signals`). What was known before, and what is forgotten,
        is told of the untouched base (`asked`), with which cells of every kind are compared.
        """
        cell, context = self.cell, self.context
        folder = folder_of(cell.first, context.options.out) if cell.first else None
        base = context.start_cell(cell)
        start = context.start(cell)
        self.clock = PhaseClock(base.devices, context.cache)
        data, prompt = cell.data, cell.spec.train_prompt
        self.signals = self.asked = BaseSignals(
            base, data.facts, data.prompt, context.cache, prompt
        )
        if data.held_out or start is not base:
            self.signals = BaseSignals(start, data.trained, data.prompt, context.cache, prompt)
        # What is cut in training is not what is asked, and need not be answerable as a whole.
        lessons = () if data.held_out and data.prompt.form.cut else data.trained
        answered = dict.fromkeys([*lessons, *data.facts])
        refuse_unanswerable(base, tuple(answered), self.asked.contexts, context.cache)
        self.progress.phase(PhaseName.PREPARE)
        with self.clock.phase(PhaseName.PREPARE):
            self.attached = attach(
                start,
                self.signals,
                cell.recipe,
                cell.spec,
                cell.calibration,
                followed=self.followed,
                below=self._below(base, folder),
                replay=cell.replay,
            )
        model = self.attached.model
        self.path = context.path(cell, model, self.clock)
        self.result.update(
            init_difference=self.attached.difference,
            identity=self.attached.difference <= self.attached.tolerance,
            parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
            parameters_total=text_parameters(base.model),
        )

    def _below(self, base: Base, folder: Path | None) -> Below | None:
        """Return the adapter of the first step, unless there is none or it is merged."""
        after = self.cell.spec.after
        if after is None or folder is None or after.mode is StepMode.MERGED:
            return None
        return Below(base, folder, trainable=after.mode is StepMode.TRAINABLE)

    def train(self) -> None:
        """Train alone."""
        plan, model = self.plan, self.attached.model
        if self.cell.first is not None:
            self.path.measure(0)  # what the first step has cost
        self.progress.phase(PhaseName.TRAIN, plan.steps)
        with self.clock.phase(PhaseName.TRAIN):
            torch.manual_seed(self.cell.spec.seed)  # as before `attach`, see bench.cell.attach
            adapter = self.attached.adapter
            states = training_states(self)
            log = train(model, adapter, plan, self.progress.step, self.path.measure, states)
        self.trained(log)

    def trained(self, log: TrainingLog) -> None:
        """Take what training measured, and check that it left the base alone."""
        self._log = log
        self.result.update(curve=log.curve, flops=log.flops, losses_digest=log.digest)
        if changed := self.attached.loan.changed():
            self.context.drop_base()  # some of them may be the base's own
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise UsageError(
                f"training changed {changed[0]}{more}, which require no gradients: the adapter "
                "must leave the frozen weights alone, or copy what it writes to"
            )
        pair = self.attached.pair
        if pair is not None and (moved := pair.changed()):
            raise UsageError(f"training changed {moved[0]} of the first step, which is frozen")

    def measure_base(self) -> None:
        """Measure on the base what cells share.

        It comes after training: by then other workers have done some of it, or will do it
        meanwhile.
        """
        self.context.measure_base(self.cell, self.asked, self.progress)

    def evaluate(self) -> None:
        """Ask the trained model alone."""
        self.progress.phase(PhaseName.EVALUATE)
        with self.clock.phase(PhaseName.EVALUATE):
            model, facts = self.attached.model, self.cell.data.facts
            asked, everywhere = self.asked, not self.cell.spec.is_candidate
            after = respond(model, asked.contexts, facts, asked.before, everywhere=everywhere)
            [learned] = self.context.evaluation(self.cell).learned_together(model)
            self.evaluated(after, learned)

    def evaluated(self, after: Responses, learned: Sequence[Evaluated]) -> None:
        """Take what the trained model answered, and what it scored on tasks of `--evaluate`."""
        decisions, model, spec = self.attached.decisions, self.attached.model, self.cell.spec
        kept, weights, held_out = decisions.kept, decisions.weights, self.cell.data.held_out
        if held_out:
            kept = torch.zeros(len(self.asked.facts), dtype=torch.bool)
            weights = kept.double()
        curves, plan = self._log.accuracies, self.attached.plan
        packed = any(lesson.is_text for lesson in self.cell.data.lessons)
        rows, unmeasured = fact_rows(self.asked, after, kept, weights, curves, held_out=held_out)
        adapter = self.attached.adapter
        notes = (*decisions.notes, *adapter.notes(model, self.attached.prepared))
        tasks = self.context.forgetting_tasks(self.cell)
        tasks += tuple(self.context.evaluation(self.cell).tasks)
        now = {found.task for found in learned}
        earlier = [found for found in self.cell.earlier_evaluated if found.task not in now]
        self.result.rows = rows
        self.result.update(
            evaluated=[*learned, *earlier],
            metrics=summarise(rows),
            warnings=[
                *(line for one in notes for line in one.warnings),
                *unmeasured,
                *tokens_read(self.cell, plan.contexts),
                *few_of_a_label(self.cell.data),
                *few_steps(spec, plan.facts if packed else spec.trained),
                *several_prompts(spec),
                *halved_batches(self.result.record),
                *continued_training(self.result.record),
                *shared_costs(self.result.record),
                *without_shortcuts(declined(model)),
                *(note for task in tasks for note in task.notes),
            ],
            notes=stored(notes),
        )

    def forget(self) -> None:
        """Measure what was forgotten, alone."""
        self.progress.phase(PhaseName.FORGET)
        with self.clock.phase(PhaseName.FORGET):
            suite = self.context.suite(self.cell)
            self.forgotten(suite.measure(self.attached.model))

    def forgotten(self, measured: Sequence[Forgetting]) -> None:
        """Take what was forgotten."""
        metrics = self.result.record.metrics
        assert metrics is not None, "`evaluated` comes first"
        now = {found.task for found in measured}
        # `earlier` is what a previous run of an incomplete cell measured.
        earlier = [found for found in self.cell.earlier if found.task not in now]
        path = self.path.ended(self.attached.plan.epochs_begun, measured)
        ended = merged(self.cell.earlier_path, path)
        given = metrics.model_dump()
        metrics = Metrics(**{**given, **drift_at_shares(self.result.rows, ended)})
        self.result.update(forgetting=[*measured, *earlier], path=ended, metrics=metrics)

    def explain(self) -> None:
        """Measure why it forgets if the run asks for it; the cell stays measured if that fails."""
        if not self.cell.knowledge:
            self.result.update(change=self.cell.earlier_change)
            return
        self.progress.phase(PhaseName.EXPLAIN)
        explainer, warnings = self.context.explainer(self.cell, self.attached.setting.facts), []
        try:
            with self.clock.phase(PhaseName.EXPLAIN):
                change = explainer.explain(self.attached.model)
        except (Exception, failures.CellTimeoutError) as error:  # whatever a library raises
            told = str(error) if isinstance(error, UsageError) else failures.first_line(error)
            warnings = [f"why it forgets was not measured: {told}"]
            change = explainer.nothing()  # else each run would train the cell again for it
        warnings = list(dict.fromkeys([*self.result.record.warnings, *warnings]))
        self.result.update(change=change, warnings=warnings)

    def save(self) -> None:
        """Save the adapter if anything asks for it; the cell stays measured if that fails."""
        if not (self.context.options.save_adapters or self.cell.is_first):
            return
        folder = Path("adapters", self.cell.cell_id)
        target = self.context.options.out / folder
        saved, lines, failed = str(folder), [], False
        adapter, attached = self.attached.adapter, self.attached
        try:
            base = self.context.base(self.cell)
            trained = probe_logits(attached.model, base.model)
            with heard() as lines:
                if first := self.cell.first:
                    below = folder_of(first, self.context.options.out)
                    save_second(adapter, attached, below, target)
                else:
                    adapter.save(attached.model, attached.prepared, attached.setting, target)
            lines = [*lines, *check_active(base, trained, target)]
        except (Exception, failures.CellTimeoutError) as error:  # whatever a library raises
            if failures.disk_is_full(error):
                raise
            shutil.rmtree(target, ignore_errors=True)  # half an adapter is none
            told = str(error) if isinstance(error, UsageError) else failures.first_line(error)
            saved, failed, lines = "", True, [*lines, f"the adapter was not saved: {told}"]
        warnings = list(dict.fromkeys([*self.result.record.warnings, *lines]))
        self.result.update(adapter_path=saved, save_failed=failed, warnings=warnings)

    def finish(self) -> None:
        """Explain it and save the adapter if the run asks for that: the cell is done."""
        with self.guarded():
            self.explain()  # before saving, after which the model of a second step is of no use
            self.save()
            self.end(Status.DONE)  # the card tells all of it
            record = self.result.record
            if record.adapter_path:
                found = card_of_new(record, self.result.rows, self.context.options.out)
                self.result.update(warnings=[*record.warnings, *found])
