"""The grid: which cells a run asks for, what identifies each, and which are done already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from bench.device import Compute, choose_compute
from bench.models import ModelSource, resolve_model
from bench.option_types import shard_numbers
from bench.options import Rerun, RunOptions
from bench.records import CellSpec, Forgetting, Status
from methods.recipe import Recipe, parse_recipes
from tasks.base import DataAccess, KnowledgeTask
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart, facts_digest
from tasks.forgetting.names import ForgettingName, knowledge_names, parse_forgetting
from tasks.prompt import Prompt, choose_demonstrations
from tasks.resolve import resolve_task
from tasks.selection import first_facts, part_facts, select_facts

if TYPE_CHECKING:
    from bench.store import ResultsStore, Stamp
    from bench.store_formats import CellSummary


class CellState(StrEnum):
    """What a run will do with a cell."""

    DONE = "done"
    MISSING = "missing"
    LACKS = "lacks"
    FAILED = "failed"


@dataclass(frozen=True)
class TaskData:
    """A knowledge task with the facts of a run.

    Attributes:
        task: The task.
        available: Facts in its train part.
        facts: The selected ones.
        prompt: Its demonstrations.
    """

    task: KnowledgeTask
    available: int
    facts: tuple[Fact, ...]
    prompt: Prompt


@dataclass(frozen=True)
class PlannedCell:
    """One cell of the grid.

    Attributes:
        spec: Its identity.
        state: What is to be done with it.
        why: What a cell lacks, or why its record is damaged; empty for others.
        source: Its model.
        recipe: Its method.
        data: Its task.
        calibration: What its adapter calibrates on.
        earlier: What an earlier run of it measured, where it lacks something else.
        stamp: Of its record when it was planned: another one since was written by another process.
        damaged: Whether its record is there and cannot be read.
    """

    spec: CellSpec
    state: CellState
    why: str
    source: ModelSource
    recipe: Recipe
    data: TaskData
    calibration: tuple[Fact, ...]
    earlier: tuple[Forgetting, ...] = ()
    stamp: Stamp | None = None
    damaged: bool = False

    @property
    def runs(self) -> bool:
        """Whether there is something to run."""
        return self.state in (CellState.MISSING, CellState.LACKS)

    @cached_property
    def cell_id(self) -> str:
        """The id under which the cell is stored."""
        return cell_id(self.spec)


def cell_id(spec: CellSpec) -> str:
    """Return the digest of a cell's identity: 16 hexadecimal digits."""
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:16]


def plan_grid(options: RunOptions, store: ResultsStore) -> list[PlannedCell]:
    """Return the cells of a run, those of one model and task together.

    Raises:
        UsageError: A name that is unknown, a facts file that cannot be read, a model without
            a revision; all before a model is loaded.
    """
    recipes = parse_recipes(options.methods)
    forgetting = parse_forgetting(",".join(options.forgetting))
    sources = [resolve_model(name) for name in options.models]
    library = Library(options, forgetting)
    tasks = [library.data(name) for name in options.tasks]
    compute = choose_compute(options.device, options.dtype)
    return [
        planned(cell, options, forgetting, store)
        for source in sources
        for cell in _cells(source, tasks, recipes, options, library, compute)
        if in_shard(cell.cell_id, options.shard)
    ]


def in_shard(cell_id: str, shard: str | None) -> bool:
    """Return whether a cell belongs to a shard; its id alone decides."""
    if shard is None:
        return True
    part, parts = shard_numbers(shard)
    return int(cell_id, 16) % parts == part - 1


class Library:
    """The knowledge tasks of a run, each read once."""

    def __init__(self, options: RunOptions, forgetting: tuple[ForgettingName, ...]) -> None:
        self._options = options
        self._trained = set(options.tasks)
        self.forgotten = knowledge_names(forgetting)
        self._access = DataAccess(options.data_dir)
        self._rows = lru_cache(maxsize=None)(self._load)

    def data(self, name: str) -> TaskData:
        """Select the facts to train of a task."""
        task, rows = self._rows(name)
        available = part_facts(task, rows, FactPart.TRAIN)
        if not available:
            raise UsageError(f"task '{name}' has no facts to train")
        facts = first_facts(available, self._options.limit)
        return TaskData(task, len(available), facts, self._prompt(task, rows, facts))

    def calibration(self, name: str) -> tuple[Fact, ...]:
        """Return the calibration part of a task."""
        task, rows = self._rows(name)
        return select_facts(task, rows, FactPart.CALIBRATION, None)

    def _prompt(
        self, task: KnowledgeTask, rows: Sequence[Fact], selected: tuple[Fact, ...]
    ) -> Prompt:
        # Calibration rows first: neither trained, nor asked as neighbours or forgetting items.
        calibration = part_facts(task, rows, FactPart.CALIBRATION)
        spare = calibration or part_facts(task, rows, FactPart.TRAIN)
        return choose_demonstrations(spare, selected)

    def _load(self, name: str) -> tuple[KnowledgeTask, Sequence[Fact]]:
        task = resolve_task(name, trained=name in self._trained, forgotten=name in self.forgotten)
        return task, task.load(self._access)


def _cells(
    model: ModelSource,
    tasks: list[TaskData],
    recipes: tuple[Recipe, ...],
    options: RunOptions,
    library: Library,
    compute: Compute,
) -> Iterator[PlannedCell]:
    revision = model.revision()
    for data in tasks:
        digest, demonstrations = facts_digest(data.facts), data.prompt.digest
        for recipe in recipes:
            # Looked up once: they read annotations and files, and a grid has thousands of cells.
            method, full_name, source = recipe.name, recipe.full_name, recipe.source_digest
            names = recipe.adapter.calibration_tasks(library.forgotten)
            calibration = tuple(fact for name in names for fact in library.calibration(name))
            calibrated = facts_digest(calibration) if calibration else ""
            for rate in options.lr or (recipe.adapter.learning_rate,):
                for seed in options.seeds:
                    spec = CellSpec(
                        model=model.name,
                        model_revision=revision,
                        dtype=compute.dtype,
                        task=data.task.name,
                        facts_digest=digest,
                        facts=len(data.facts),
                        prompt_digest=demonstrations,
                        calibration_digest=calibrated,
                        method=method,
                        recipe=full_name,
                        source_digest=source,
                        learning_rate=rate,
                        epochs=options.epochs,
                        batch_size=options.batch_size,
                        seed=seed,
                    )
                    yield PlannedCell(spec, CellState.MISSING, "", model, recipe, data, calibration)


def planned(
    cell: PlannedCell,
    options: RunOptions,
    forgetting: tuple[ForgettingName, ...],
    store: ResultsStore,
) -> PlannedCell:
    """Return the cell with what the store says of it now."""
    stamp = store.stamp(cell.cell_id)  # before its record is read
    if stamp is None:
        return cell
    cell = replace(cell, stamp=stamp)
    record = store.summary(cell.cell_id)
    if isinstance(record, str):
        return replace(cell, why=record, damaged=True)
    if record is None or options.rerun is Rerun.ALL or record.status is Status.INTERRUPTED:
        return cell
    if record.status is not Status.DONE:
        state = CellState.MISSING if options.rerun is Rerun.FAILED else CellState.FAILED
        return replace(cell, state=state)
    why = lacking(record, options, forgetting)
    if not why:
        return replace(cell, state=CellState.DONE)
    whole = store.read(cell.cell_id)
    earlier = tuple(whole.forgetting) if whole else ()
    return replace(cell, state=CellState.LACKS, why=why, earlier=earlier)


def lacking(
    record: CellSummary, options: RunOptions, forgetting: tuple[ForgettingName, ...]
) -> str:
    """Return what a done cell lacks of what is asked for, empty when nothing."""
    if options.save_adapters and not record.adapter_path:
        return "its adapter"
    present = {(f.task, f.limit) for f in record.forgetting}
    missing = [str(n) for n in forgetting if (str(n), options.forgetting_limit) not in present]
    return ", ".join(missing)
