"""What cells share in one process: the resident base, its answers and its forgetting scores."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from bench.cell import PlannedCell
from bench.device import Compute
from bench.device_map import is_divided
from bench.forgetting.suite import ForgettingSuite, Seen, TaskShelf, build_suite
from bench.models import Base, load_base
from bench.options import DeviceMap, RunOptions
from bench.packed_head import pack_head
from bench.phases import CostedCache
from bench.records import Forgetting
from tasks.base import DataAccess
from tasks.forgetting.names import parse_forgetting


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
        self._suites: dict[tuple[str, str], ForgettingSuite] = {}
        self._shelf = TaskShelf()
        self._base: Base | None = None

    def base(self, cell: PlannedCell) -> Base:
        """Return the cell's base, loading it when another model was resident."""
        if self._base is None or self._base.name != cell.spec.model:
            self._base = None
            self.cache = CostedCache()  # its values belong to the previous base
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
        """Return the run's forgetting tasks, without what this cell trains or calibrates on.

        Raises:
            UsageError: Data that cannot be had, or a task that cannot be measured.
        """
        key = (cell.spec.facts_digest, cell.spec.calibration_digest)
        if key not in self._suites:
            self._suites[key] = build_suite(
                parse_forgetting(",".join(self.options.forgetting)),
                DataAccess(self.options.data_dir),
                self.options.forgetting_limit,
                seen=Seen(cell.data.facts, cell.calibration),
                trained_tasks=self.options.tasks,
                shelf=self._shelf,
            )
        return self._suites[key]

    def forgetting(self, cell: PlannedCell, base: Base, model: nn.Module) -> list[Forgetting]:
        """Score a model on every forgetting task of the run, paired with the pristine base."""
        suite = self.suite(cell)
        for name, task in suite.tasks.items():  # through the cache, so that its cost is on record
            self.cache.get(("base score", id(task)), partial(suite.base_scores, base, name))
        return [suite.measure(base, model, name) for name in suite.names]
