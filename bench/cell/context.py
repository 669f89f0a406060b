"""What cells share in one process: the resident base, its answers and its forgetting scores."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from bench.cell.first_step import folder_of, started_base
from bench.cell.phases import PhaseClock
from bench.config.options import DeviceMap, RunOptions
from bench.evaluation.explain import Explainer
from bench.evaluation.signals import BaseSignals
from bench.forgetting.path import ForgettingPath
from bench.forgetting.scores import ForgettingTask
from bench.forgetting.suite import ForgettingSuite, ForgettingTasks, Seen
from bench.inference.float32_head import install_head
from bench.models.device import Compute
from bench.models.loading import Base, load_base
from bench.planning.planned_cell import PlannedCell
from bench.progress.base import Progress
from bench.store.base_cache import KeptValues, measured_with
from bench.store.cost_cache import CostCache
from bench.store.records import PhaseName
from tasks.base import DataAccess
from tasks.fact import Fact


class CellContext:
    """Everything that a process keeps from one cell to the next.

    Args:
        options: The run's options.
        compute: Device and dtype.
        say: Receives lines to show to the user.
    """

    def __init__(self, options: RunOptions, compute: Compute, say: Callable[[str], None]) -> None:
        self.options = options
        self.compute = compute
        self.say = say
        self.cache = CostCache(KeptValues(options.out, partial(measured_with, compute)))
        access = DataAccess(options.data_dir)
        self._forgetting = ForgettingTasks(
            access, options.forgetting_limit, options.trained_tasks, self.cache
        )
        self._evaluation = ForgettingTasks(access, options.evaluate_limit, cache=self.cache)
        self._tasks: dict[Hashable, tuple[ForgettingTask, ...]] = {}
        self._base: Base | None = None
        self._started: tuple[str, Base] | None = None

    def base(self, cell: PlannedCell) -> Base:
        """Return the cell's base; load it unless it is resident."""
        if self._base is None or self._base.name != cell.spec.model:
            self._base = self._started = None
            self.cache.clear()  # its values belong to the previous base
            gc.unfreeze()
            self.free_memory()
            self._base = load_base(
                cell.source,
                dtype=self.compute.dtype,
                device=self.compute.device,
                device_map="auto" if self.options.device_map is DeviceMap.AUTO else None,
                trust_remote_code=self.options.trust_remote_code,
                quantisation=self.compute.quantisation,
                attention=self.compute.attention,
                checkpointing=self.compute.checkpointing,
                say=self.say,
            )
            install_head(self._base.model)
        return self._base

    def start(self, cell: PlannedCell) -> Base:
        """Return the model that training starts from: the base, or the one after a first step.

        What was forgotten, and what was known before, is told of the base all the same.

        Raises:
            SkippedError: The first step has no result.
            UsageError: What it saved does not fit the base.
        """
        base, first = self.base(cell), cell.first
        if first is None:
            return base
        if self.started_from != first.cell_id:
            if self._started is not None:
                self._started = None
                gc.unfreeze()
                self.free_memory()
            folder = folder_of(first, self.options.out)
            self._started = (first.cell_id, started_base(base, first, folder))
        assert self._started is not None
        return self._started[1]

    @property
    def started_from(self) -> str:
        """The id of the first step whose model is resident; empty if there is none."""
        return self._started[0] if self._started else ""

    @property
    def resident(self) -> str:
        """The name of the loaded model; empty if none is loaded."""
        return self._base.name if self._base else ""

    def start_cell(self, cell: PlannedCell) -> Base:
        """Return the cell's base, and exempt all present objects from garbage collection.

        Libraries have created half a million objects by now; searching them would add a quarter of
        a second each time a cell gives back what it borrowed.
        """
        self.cache.start_cell()
        base = self.base(cell)
        gc.collect()
        gc.freeze()
        return base

    def drop_base(self) -> None:
        """Forget the resident base, whose weights a cell has changed; the next cell loads it."""
        self._base = self._started = None
        self.cache.clear()

    def placed(self) -> dict[str, dict[str, str]]:
        """Return, for the record, which device holds which part of a divided base; else nothing."""
        if self._base is None or not self._base.is_divided:
            return {}
        parts = self._base.model.hf_device_map
        return {"device_map": {name: str(device) for name, device in parts.items()}}

    def free_memory(self) -> None:
        """Release memory that is no longer used."""
        gc.collect()
        if self.compute.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def forgetting_tasks(self, cell: PlannedCell) -> tuple[ForgettingTask, ...]:
        """Return a cell's forgetting tasks, without facts that it trains or calibrates on.

        Raises:
            UsageError: Data is not available, or a task cannot be measured.
        """
        spec = cell.spec
        learned = (spec.facts_digest, spec.lessons_digest, spec.calibration_digest)
        key = (*learned, spec.replay_digest, spec.first_setting, cell.forgetting)
        if key not in self._tasks:
            earlier = cell.first.data.trained if cell.first else ()
            trained = (*cell.data.lessons, *cell.data.facts, *earlier)
            seen = Seen(trained, (*cell.calibration, *cell.replay))
            self._tasks[key] = self._forgetting.build(cell.forgetting, seen)
        return self._tasks[key]

    def forgetting_notes(self, cells: Sequence[PlannedCell]) -> list[str]:
        """Return lines about how forgetting is measured, before any model is loaded.

        This builds every task of the run, including those that its first stage does not measure:
        hours of tuning must not end at a task without data.

        Raises:
            UsageError: Data is not available, or a task cannot be measured.
        """
        whole = self.options.forgetting
        built = [self.forgetting_tasks(replace(cell, forgetting=whole)) for cell in cells]
        built.append(self._evaluation.build(self.options.evaluate))
        return list({note: None for tasks in built for task in tasks for note in task.notes})

    def suite(self, cell: PlannedCell) -> ForgettingSuite:
        """Return the forgetting tasks of a cell, bound to its base.

        Raises:
            UsageError: Data is not available, or a task cannot be measured.
        """
        return self._forgetting.on(self.base(cell), self.forgetting_tasks(cell))

    def evaluation(self, cell: PlannedCell) -> ForgettingSuite:
        """Return the tasks of `--evaluate` for a cell, bound to its base.

        Raises:
            UsageError: Data is not available, or a task cannot be measured.
        """
        return self._evaluation.on(self.base(cell), self._evaluation.build(cell.evaluate))

    def path(self, cell: PlannedCell, model: nn.Module, clock: PhaseClock) -> ForgettingPath:
        """Return what measures a cell's model at its checkpoints.

        Raises:
            UsageError: Data is not available, or a task cannot be measured.
        """
        aside = partial(clock.phase, PhaseName.FORGET)
        return ForgettingPath(self.suite(cell), model, self.options.checkpoints, aside)

    def explainer(self, cell: PlannedCell, trained: Sequence[Fact]) -> Explainer:
        """Return what measures why a cell forgets.

        Args:
            cell: The cell, planned with `--explain`.
            trained: The facts that it trained.
        """
        known, digest = cell.knowledge, cell.knowledge_digest
        return Explainer(self.base(cell), known, digest, trained, cell.data.prompt, self.cache)

    def measure_base(self, cell: PlannedCell, signals: BaseSignals, progress: Progress) -> None:
        """Measure on the base what cells share, unless another process has done so or is doing it.

        Args:
            cell: The cell whose forgetting tasks are measured.
            signals: What the base knows of the cell's facts.
            progress: Shows that the base is measured, if there is something to measure.
        """
        # The last needs the first.
        tasks = (*self.suite(cell).shared, *self.evaluation(cell).shared)
        needed = [signals.responses, *tasks, signals.sampled_knowledge]
        lacking = [value for value in needed if value.key not in self.cache]
        if lacking:
            progress.phase("measure the base")
        for value in lacking:
            self.cache.prepare(value)
