"""What cells share in one process: the resident base, its answers and its forgetting scores."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from bench.config.options import DeviceMap, RunOptions
from bench.evaluation.signals import BaseSignals
from bench.forgetting.scores import ItemScores
from bench.forgetting.suite import ForgettingSuite, Seen, TaskShelf, build_suite
from bench.inference.packed_lm_head import pack_head
from bench.models.device import Compute
from bench.models.device_map import is_divided
from bench.models.loading import Base, load_base
from bench.planning.planned_cell import PlannedCell
from bench.progress.base import Progress
from bench.store.base_cache import KeptValues, measured_with
from bench.store.cost_cache import CostCache, Shared
from bench.store.records import Forgetting
from tasks.base import DataAccess


class CellContext:
    """Everything that outlives a cell.

    Args:
        options: The run's options.
        compute: Device and dtype.
        say: Receives lines for people.
    """

    def __init__(self, options: RunOptions, compute: Compute, say: Callable[[str], None]) -> None:
        self.options = options
        self.compute = compute
        self.say = say
        self.cache = CostCache(self._kept())
        self._suites: dict[tuple[Hashable, ...], ForgettingSuite] = {}
        self._shelf = TaskShelf()
        self._base: Base | None = None

    def base(self, cell: PlannedCell) -> Base:
        """Return the cell's base, loading it when another model was resident."""
        if self._base is None or self._base.name != cell.spec.model:
            self._base = None
            self.cache = CostCache(self._kept())  # its values belong to the previous base
            gc.unfreeze()
            self.free_memory()
            self._base = load_base(
                cell.source,
                dtype=self.compute.dtype,
                device=self.compute.device,
                device_map="auto" if self.options.device_map is DeviceMap.AUTO else None,
                trust_remote_code=self.options.trust_remote_code,
                say=self.say,
            )
            pack_head(self._base.model)
        return self._base

    def _kept(self) -> KeptValues:
        return KeptValues(self.options.out, partial(measured_with, self.compute))

    @property
    def resident(self) -> str:
        """The name of the model whose base is loaded, empty where none is."""
        return self._base.name if self._base else ""

    def start_cell(self, cell: PlannedCell) -> Base:
        """Return the cell's base, with all that outlives the cell set aside.

        What lives now is not searched for garbage any more: among half a million objects of
        libraries, giving back what a cell borrowed would take a quarter of a second each time.
        """
        self.cache.start_cell()
        base = self.base(cell)
        gc.collect()
        gc.freeze()
        return base

    def placed(self) -> dict[str, dict[str, str]]:
        """Return for a record which device holds which part of a divided base; else nothing."""
        if self._base is None or not is_divided(self._base.model):
            return {}
        parts = self._base.model.hf_device_map
        return {"device_map": {name: str(device) for name, device in parts.items()}}

    def free_memory(self) -> None:
        """Give memory back that nothing uses any more."""
        gc.collect()
        if self.compute.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def suite(self, cell: PlannedCell) -> ForgettingSuite:
        """Return a cell's forgetting tasks, without what it trains or calibrates on.

        Raises:
            UsageError: Data that cannot be had, or a task that cannot be measured.
        """
        key = (cell.spec.facts_digest, cell.spec.calibration_digest, cell.forgetting)
        if key not in self._suites:
            self._suites[key] = build_suite(
                cell.forgetting,
                DataAccess(self.options.data_dir),
                self.options.forgetting_limit,
                seen=Seen(cell.data.facts, cell.calibration),
                trained_tasks=self.options.tasks,
                shelf=self._shelf,
            )
        return self._suites[key]

    def forgetting_notes(self, cells: Sequence[PlannedCell]) -> list[str]:
        """Say how forgetting is measured, before a model is loaded.

        All that the run asks for is built, also what its first stage does not measure: hours of
        tuning must not end at a task that cannot be had.

        Raises:
            UsageError: It cannot be.
        """
        whole = self.options.forgetting
        suites = (self.suite(replace(cell, forgetting=whole)) for cell in cells)
        return list(dict.fromkeys(note for suite in suites for note in suite.notes))

    def forgetting(self, cell: PlannedCell, base: Base, model: nn.Module) -> list[Forgetting]:
        """Score a model on every forgetting task of a cell, paired with the pristine base."""
        suite = self.suite(cell)
        return [
            suite.measure(base, model, name, self._base_scores(base, suite, name))
            for name in suite.names
        ]

    def measure_base(
        self, cell: PlannedCell, base: Base, signals: BaseSignals, progress: Progress
    ) -> None:
        """Ask the base what every cell of its facts needs and no other process has or does."""
        suite = self.suite(cell)
        needed: list[Shared[Any] | None] = [signals.responses]
        for name, task in suite.tasks.items():
            needed += [self._shared_scores(base, suite, name), task.shared(base)]
        needed += [signals.sampled_knowledge]  # last, since it needs the first
        wanted = [value for value in needed if value and not self.cache.holds(value)]
        if wanted:
            progress.phase("measure the base")
        for value in wanted:
            self.cache.prepare(value)

    def _base_scores(self, base: Base, suite: ForgettingSuite, name: str) -> ItemScores:
        """Return the pristine base's scores through the cache, so that their cost is on record."""
        task = suite.tasks[name]
        needed, scores = task.shared(base), self._shared_scores(base, suite, name)
        if needed is not None:
            task.take(base, self.cache.shared(needed))
        if scores is not None:
            return self.cache.shared(scores)
        key = ("base score", id(task))
        return self.cache.get(key, partial(suite.base_scores, base, name))

    def _shared_scores(
        self, base: Base, suite: ForgettingSuite, name: str
    ) -> Shared[ItemScores] | None:
        content = suite.tasks[name].content
        if not content:
            return None
        key = ("base score", base.name, base.revision, str(base.model.dtype), name, content)
        return Shared(key, partial(suite.base_scores, base, name), ItemScores)
