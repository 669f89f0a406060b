"""All cells that a run may need: for each method, model and task, and for every candidate.

The first steps of `--after` are cells, too. A shard holds those that its other cells start from, so
that it needs no other shard: where shards share a results folder, the first one to come runs such a
cell, and the others wait for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.config.options import RunOptions
from bench.config.types import shard_numbers
from bench.models.registry import ModelSource, resolve_model
from bench.planning.candidates import Method, is_tuned, methods_of, tuning_seeds_of
from bench.planning.planned_cell import PlannedCell
from bench.planning.resolver import Resolver, tuned_as
from bench.planning.task_data import TaskSets
from tasks.division import FactSet


@dataclass(frozen=True)
class Group:
    """One method on one model and task, with the cells of its candidates.

    Attributes:
        tuning: For each candidate its cells on the tuning set, one per tuning seed; empty if there
            is only one candidate.
        reporting: For each candidate its cells for the leaderboard, one per seed.
    """

    tuning: tuple[tuple[PlannedCell, ...], ...]
    reporting: tuple[tuple[PlannedCell, ...], ...]


def groups_of(options: RunOptions) -> Iterator[Group]:
    """Yield the groups of a run, those of one model and task together, after its first steps.

    Raises:
        UsageError: A name is unknown, facts cannot be read or are too few to tune on, or a model
            has no revision; or a reporting seed is a tuning seed.
    """
    methods, tuning_seeds = methods_of(options), tuning_seeds_of(options)
    sources = [resolve_model(name) for name in options.models]
    resolver = Resolver(options)
    tasks = [resolver.sets(name, divided=is_tuned(options)) for name in options.tasks]
    for source in sources:
        groups = list(_of_model(source, resolver, tasks, methods, options, tuning_seeds))
        if firsts := _first_steps(groups):
            yield Group((), (firsts,))
        yield from groups


def _of_model(
    source: ModelSource,
    resolver: Resolver,
    tasks: Sequence[TaskSets],
    methods: Sequence[Method],
    options: RunOptions,
    tuning_seeds: Sequence[int],
) -> Iterator[Group]:
    """Yield the groups of one model, without first steps.

    Args:
        source: The model.
        resolver: That of the run.
        tasks: The facts of its tasks.
        methods: Its methods.
        options: Its options.
        tuning_seeds: The seeds that candidates are tried with.
    """
    for sets in tasks:
        for method in methods:
            if sets.tuning is not None:
                yield _tuned(resolver, source, sets, method, options, tuning_seeds)
                continue
            [only] = method.candidates
            cells = [
                resolver.cell(source, sets, only, seed, None, resolver.first(source, seed))
                for seed in options.seeds
            ]
            yield Group((), (tuple(c for c in cells if in_shard(c.cell_id, options.shard)),))


def _first_steps(groups: Iterable[Group]) -> tuple[PlannedCell, ...]:
    """Return the first steps of the cells of groups, each once."""
    found = {
        cell.first.cell_id: cell.first
        for group in groups
        for cells in (*group.tuning, *group.reporting)
        for cell in cells
        if cell.first is not None
    }
    return tuple(found.values())


def in_shard(key: str, shard: str | None) -> bool:
    """Return whether a hexadecimal key belongs to a shard (`2/8`); the key alone decides."""
    if shard is None:
        return True
    part, parts = shard_numbers(shard)
    return int(key, 16) % parts == part - 1


def _tuned(
    resolver: Resolver,
    source: ModelSource,
    sets: TaskSets,
    method: Method,
    options: RunOptions,
    tuning_seeds: Sequence[int],
) -> Group:
    tuning, reporting = [], []
    for candidate in method.candidates:
        tried, chosen = (
            tuned_as(sets, fact_set, method.name, candidate.values) for fact_set in FactSet
        )
        tuning.append(
            tuple(
                resolver.cell(source, sets, candidate, seed, tried, resolver.first(source, seed))
                for seed in tuning_seeds
            )
        )
        reporting.append(
            tuple(
                resolver.cell(source, sets, candidate, seed, chosen, resolver.first(source, seed))
                for seed in options.seeds
            )
        )
    # All candidates of a group must be in one shard, which then chooses among them.
    spec = tuning[0][0].spec
    key = (spec.model, spec.model_revision, spec.dtype, spec.task, method.name)
    if not in_shard(hashlib.sha256("\x1f".join(key).encode()).hexdigest(), options.shard):
        return Group((), ((),))
    return Group(tuple(tuning) if len(tuning) > 1 else (), tuple(reporting))
