"""The cells that a run may have: per method, model and task, for every candidate of the method."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.config.options import RunOptions
from bench.config.types import shard_numbers
from bench.models.device import compute_of
from bench.models.registry import ModelSource, resolve_model
from bench.planning.candidates import Candidate, Method, is_tuned, methods_of
from bench.planning.planned_cell import CellState, PlannedCell
from bench.planning.task_data import TaskCatalog, TaskData, TaskSets
from bench.store.records import CellSpec, Tuned
from bench.training import schedule
from tasks.division import FactSet
from tasks.fact import Fact, facts_digest
from tasks.forgetting.names import ForgettingKind, ForgettingName


@dataclass(frozen=True)
class Group:
    """One method on one model and task: its candidates, and what they train.

    Attributes:
        tuning: For each candidate its cell on the tuning set; none where there is no choice.
        reporting: For each candidate its cells for the leaderboard, one per seed.
    """

    tuning: tuple[PlannedCell, ...]
    reporting: tuple[tuple[PlannedCell, ...], ...]

    @property
    def cells(self) -> Iterator[PlannedCell]:
        """All cells that any choice may ask for."""
        yield from self.tuning
        for cells in self.reporting:
            yield from cells


@dataclass(frozen=True)
class _Base:
    """A model as cells name it."""

    source: ModelSource
    revision: str
    dtype: str


@dataclass(frozen=True)
class ResolvedCandidate:
    """A candidate with what identifies it: read once, since a grid has thousands of cells."""

    candidate: Candidate
    method: str
    recipe: str
    source_digest: str
    calibration: tuple[Fact, ...]
    calibration_digest: str


def groups_of(options: RunOptions, forgetting: tuple[ForgettingName, ...]) -> Iterator[Group]:
    """Yield the groups of a run, those of one model and task together.

    Raises:
        UsageError: A name that is unknown, facts that cannot be read or are too few to tune on,
            a model without a revision.
    """
    methods = methods_of(options)
    sources = [resolve_model(name) for name in options.models]
    library = TaskCatalog(options, forgetting)
    tasks = [library.sets(name, divided=is_tuned(options)) for name in options.tasks]
    dtype = compute_of(options).dtype
    ways = [[_way(candidate, library) for candidate in m.candidates] for m in methods]
    for source in sources:
        base = _Base(source, source.revision(), dtype)
        for sets in tasks:
            for method, found in zip(methods, ways, strict=True):
                yield _group(base, sets, method, found, options, forgetting)


def _way(candidate: Candidate, library: TaskCatalog) -> ResolvedCandidate:
    recipe = candidate.recipe
    names = recipe.adapter.calibration_tasks(library.forgotten)
    calibration = tuple(fact for name in names for fact in library.calibration(name))
    digest = facts_digest(calibration) if calibration else ""
    return ResolvedCandidate(
        candidate, recipe.name, recipe.full_name, recipe.source_digest, calibration, digest
    )


def in_shard(key: str, shard: str | None) -> bool:
    """Return whether what a hexadecimal key names belongs to a shard; the key alone decides."""
    if shard is None:
        return True
    part, parts = shard_numbers(shard)
    return int(key, 16) % parts == part - 1


def _group(
    base: _Base,
    sets: TaskSets,
    method: Method,
    ways: Sequence[ResolvedCandidate],
    options: RunOptions,
    forgetting: tuple[ForgettingName, ...],
) -> Group:
    tuned = _tuned(method, sets, FactSet.REPORTING)
    cells = [
        [_cell(base, sets.reporting, way, seed, tuned, forgetting) for seed in options.seeds]
        for way in ways
    ]
    if sets.tuning is None:
        return Group((), tuple(_in_shard(found, options.shard) for found in cells))
    key = (base.source.name, base.revision, base.dtype, sets.reporting.task.name, method.name)
    if not in_shard(hashlib.sha256("\x1f".join(key).encode()).hexdigest(), options.shard):
        return Group((), ((),))
    tuned = _tuned(method, sets, FactSet.TUNING)
    deciding = _deciding(forgetting)
    tried = [_cell(base, sets.tuning, way, options.seeds[0], tuned, deciding) for way in ways]
    return Group(tuple(tried) if len(ways) > 1 else (), tuple(map(tuple, cells)))


def _deciding(forgetting: tuple[ForgettingName, ...]) -> tuple[ForgettingName, ...]:
    """Return what candidates are measured on: drift alone decides between equal ones."""
    drift = tuple(name for name in forgetting if name.kind is ForgettingKind.DRIFT)
    return drift or forgetting


def _in_shard(cells: Sequence[PlannedCell], shard: str | None) -> tuple[PlannedCell, ...]:
    return tuple(cell for cell in cells if in_shard(cell.cell_id, shard))


def _tuned(method: Method, sets: TaskSets, fact_set: FactSet) -> Tuned | None:
    if sets.tuning is None:
        return None
    other = sets.reporting if fact_set is FactSet.TUNING else sets.tuning
    return Tuned(
        fact_set=fact_set,
        method=method.name,
        other_digest=other.digest,
        other_facts=len(other.facts),
        over=method.over,
    )


def _cell(
    base: _Base,
    data: TaskData,
    way: ResolvedCandidate,
    seed: int,
    tuned: Tuned | None,
    forgetting: tuple[ForgettingName, ...],
) -> PlannedCell:
    spec = CellSpec(
        model=base.source.name,
        model_revision=base.revision,
        dtype=base.dtype,
        task=data.name,
        facts_digest=data.digest,
        facts=len(data.facts),
        prompt_digest=data.prompt_digest,
        calibration_digest=way.calibration_digest,
        method=way.method,
        recipe=way.recipe,
        source_digest=way.source_digest,
        learning_rate=way.candidate.learning_rate,
        epochs=way.candidate.epochs,
        batch_size=way.candidate.batch_size,
        schedule=schedule.describe(),
        seed=seed,
        tuned=tuned,
    )
    return PlannedCell(
        spec=spec,
        state=CellState.MISSING,
        why="",
        source=base.source,
        recipe=way.candidate.recipe,
        data=data,
        calibration=way.calibration,
        forgetting=forgetting,
    )
