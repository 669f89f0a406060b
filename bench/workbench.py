"""What cells share in one process: the resident base, its answers and its forgetting scores."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch import nn

from bench.device import Compute
from bench.forgetting.drift import DriftTask
from bench.forgetting.harness import knowledge_harness_task
from bench.forgetting.items import ForgettingTask, compare
from bench.forgetting.lm_eval_task import lm_eval_task
from bench.grid import Library, PlannedCell
from bench.models import Base, load_base
from bench.options import RunOptions
from bench.phases import CostedCache
from bench.records import Forgetting
from tasks.fact import facts_digest
from tasks.forgetting.names import ForgettingKind, ForgettingName, parse_forgetting
from tasks.forgetting.overlap import without_seen


class Workbench:
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
        self.cache = CostedCache()
        self._names = parse_forgetting(",".join(options.forgetting))
        self._library = Library(options, self._names)
        self._base: Base | None = None

    def base(self, cell: PlannedCell) -> Base:
        """Return the cell's base, loading it when another model was resident."""
        if self._base is None or self._base.name != cell.spec.model:
            self._base = None
            self.cache = CostedCache()  # its values belong to the previous base
            gc.collect()
            if self.compute.device.startswith("cuda"):
                torch.cuda.empty_cache()
            self._base = load_base(
                cell.source, dtype=self.compute.dtype, device=self.compute.device, say=self.say
            )
        return self._base

    def forgetting(self, cell: PlannedCell, base: Base, model: nn.Module) -> list[Forgetting]:
        """Score a model on every forgetting task of the run, paired with the pristine base."""
        return [self._compare(self._task(name, cell), base, model) for name in self._names]

    def _task(self, name: ForgettingName, cell: PlannedCell) -> ForgettingTask:
        limit = self.options.forgetting_limit
        if name.kind is ForgettingKind.DRIFT:
            return self.cache.get("drift", DriftTask)
        if name.kind is ForgettingKind.LM_EVAL:
            key = ("lm_eval", name.name)
            return self.cache.get(
                key, lambda: lm_eval_task(name.name, self.options.data_dir, limit)
            )
        seen = [*cell.data.facts, *cell.calibration]
        unseen = without_seen(self._library.forget(name.name), seen).facts[:limit]
        return self.cache.get(
            ("knowledge", name.name, facts_digest(unseen)),
            lambda: knowledge_harness_task(
                name.name, unseen, self._library.forget_prompt(name.name)
            ),
        )

    def _compare(self, task: ForgettingTask, base: Base, model: nn.Module) -> Forgetting:
        key = ("base score", id(task))
        pristine = self.cache.get(key, lambda: task.score(base, base.model))
        found = compare(pristine, task.score(base, model))
        return found.model_copy(update={"limit": self.options.forgetting_limit})
