"""The forgetting tasks of a run: the base is scored once, every cell is paired with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import NamedTuple

from torch import nn

from bench.forgetting.drift import SEQUENCES, Drift
from bench.forgetting.lm_eval_catalog import lm_eval_harness_task
from bench.forgetting.lm_eval_task import knowledge_harness_task
from bench.forgetting.scores import ForgettingTask, ItemScores, compare
from bench.models.loading import Base
from bench.store.records import Forgetting
from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart
from tasks.forgetting.names import ForgettingKind, ForgettingName
from tasks.forgetting.overlap import without_seen
from tasks.prompt import Prompt, choose_demonstrations
from tasks.resolve import resolve_task
from tasks.selection import select_facts


class TaskShelf:
    """Forgetting tasks that were built, and the pristine bases' scores on them.

    Suites that ask the same questions share both, whatever else their cells learn from.
    """

    def __init__(self) -> None:
        self._tasks: dict[Hashable, ForgettingTask] = {}
        self._scores: dict[Hashable, ItemScores] = {}

    def task(self, content: Hashable, build: Callable[[], ForgettingTask]) -> ForgettingTask:
        """Return the task of some content, building it on first use."""
        if content not in self._tasks:
            self._tasks[content] = build()
        return self._tasks[content]

    def base_scores(self, base: Base, task: ForgettingTask) -> ItemScores:
        """Return the pristine base's scores on a task, measured on first use."""
        key = (base.name, base.revision, str(base.model.dtype), str(base.device), id(task))
        if key not in self._scores:
            self._scores[key] = task.score(base, base.model)
        return self._scores[key]


class ForgettingSuite:
    """Forgetting tasks by name, each paired with the pristine base.

    Args:
        tasks: In the order to measure them.
        limit: The most items of each that were asked for.
        shelf: Holds the base's scores; one of its own unless given.
    """

    def __init__(
        self, tasks: Iterable[ForgettingTask], limit: int, shelf: TaskShelf | None = None
    ) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._limit = limit
        self._shelf = shelf or TaskShelf()

    @property
    def tasks(self) -> Mapping[str, ForgettingTask]:
        """The tasks by their names."""
        return MappingProxyType(self._tasks)

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks as recorded, in the order asked for."""
        return tuple(self._tasks)

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for people about how tasks are measured."""
        return tuple(note for task in self._tasks.values() for note in task.notes)

    def base_scores(self, base: Base, name: str) -> ItemScores:
        """Return the pristine base's scores on a task, measured on first use."""
        return self._shelf.base_scores(base, self._tasks[name])

    def measure(
        self, base: Base, model: nn.Module, name: str, pristine: ItemScores | None = None
    ) -> Forgetting:
        """Score a model tuned from `base` on a task, paired per item with the base.

        Args:
            base: The pristine base.
            model: The tuned model.
            name: Of the task.
            pristine: The base's scores, where they are known; else it is asked on first use.
        """
        pristine = pristine or self.base_scores(base, name)
        return compare(pristine, self._tasks[name].score(base, model), self._limit)


class Seen(NamedTuple):
    """Facts that a cell learns from."""

    trained: tuple[Fact, ...] = ()
    calibrated: tuple[Fact, ...] = ()


def build_suite(
    names: Sequence[ForgettingName],
    access: DataAccess,
    limit: int,
    seen: Seen = Seen(),  # noqa: B008, immutable
    trained_tasks: Collection[str] = (),
    shelf: TaskShelf | None = None,
) -> ForgettingSuite:
    """Build the forgetting tasks of a run, before any model is loaded.

    Args:
        names: What was asked for.
        access: Where data may be read from.
        limit: At most so many items of each task, and texts of drift.
        seen: Facts that are trained or calibrated on; they are not measured.
        trained_tasks: Tasks the run trains on, as written; a file's parts depend on its roles.
        shelf: Of tasks that were built before.

    Raises:
        UsageError: Data that cannot be had, or a task that cannot be measured; one line.
    """
    known = shelf or TaskShelf()

    def build(name: ForgettingName) -> ForgettingTask:
        if name.kind is ForgettingKind.DRIFT:
            return _drift(min(limit, SEQUENCES))
        if name.kind is ForgettingKind.LM_EVAL:
            content = (name.name, access, limit)
            return known.task(content, partial(lm_eval_harness_task, *content))
        return knowledge_forgetting(
            name.name, access, limit, seen, trained=name.name in trained_tasks, shelf=known
        )

    return ForgettingSuite([build(name) for name in names], limit, known)


@cache
def _drift(sequences: int) -> Drift:
    """Return what all suites of a process share, so that a base's texts are sampled once."""
    return Drift(sequences)


def knowledge_forgetting(
    name: str,
    access: DataAccess,
    limit: int | None,
    seen: Seen = Seen(),  # noqa: B008, immutable
    *,
    trained: bool = False,
    shelf: TaskShelf | None = None,
) -> ForgettingTask:
    """Build the forget part of a knowledge task, without facts whose question was `seen`."""
    facts, prompt, dropped = forget_facts(name, access, limit, seen, trained=trained)
    notes = (f"{name}: {dropped} forget facts are trained on elsewhere: dropped",)
    content = (name, facts, prompt, notes if dropped else ())
    return (shelf or TaskShelf()).task(content, partial(knowledge_harness_task, *content))


def forget_facts(
    name: str,
    access: DataAccess,
    limit: int | None,
    seen: Seen = Seen(),  # noqa: B008, immutable
    *,
    trained: bool = False,
) -> tuple[tuple[Fact, ...], Prompt, int]:
    """Return a knowledge task's forget facts, their prompt, and how many were dropped as seen.

    Demonstrations come from its other parts and are neither scored nor trained. What a method
    calibrates on does not change them, so that all methods are asked the same.

    Raises:
        UsageError: Nothing is left to measure.
    """
    task = resolve_task(name, trained=trained, forgotten=True)
    rows = task.load(access)
    part = select_facts(task, rows, FactPart.FORGET, None)
    unseen = without_seen(part, [*seen.trained, *seen.calibrated])
    if not unseen.facts:
        raise UsageError(
            f"--forgetting {name}: no facts left: its forget part has {len(part)} facts, "
            f"{unseen.dropped} of which are trained or calibrated on"
        )
    prompt = choose_demonstrations(rows, [*part, *seen.trained])
    return unseen.facts[:limit], prompt, unseen.dropped
