"""The forgetting tasks of a run: the base is scored once, every cell is paired with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from bench.forgetting.drift import SEQUENCES, Drift
from bench.forgetting.lm_eval_catalog import lm_eval_harness_task
from bench.forgetting.lm_eval_task import knowledge_harness_task
from bench.forgetting.scores import ForgettingTask, ItemScores, compare
from bench.models.loading import Base
from bench.store.cost_cache import CostCache, Shared
from bench.store.records import Forgetting
from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart
from tasks.forgetting.names import ForgettingKind, ForgettingName
from tasks.forgetting.overlap import without_seen
from tasks.prompt import Prompt, choose_demonstrations
from tasks.resolve import resolve_task
from tasks.selection import select_facts


class Seen(NamedTuple):
    """Facts that a cell learns from."""

    trained: tuple[Fact, ...] = ()
    calibrated: tuple[Fact, ...] = ()


class ForgettingTasks:
    """Builds forgetting tasks, before any model is loaded.

    Cells that ask the same questions get the same task, whatever else they learn from: its base
    scores are found again.

    Args:
        access: Where data may be read from.
        limit: At most so many items of each task, and texts of drift.
        trained_tasks: Tasks the run trains on, as written; a file's parts depend on its roles.
        cache: Keeps what tasks ask a base for.
    """

    def __init__(
        self,
        access: DataAccess,
        limit: int,
        trained_tasks: Collection[str] = (),
        cache: CostCache | None = None,
    ) -> None:
        self._access = access
        self._limit = limit
        self._trained_tasks = trained_tasks
        self._cache = CostCache() if cache is None else cache
        self._built: dict[Hashable, ForgettingTask] = {}

    def build(
        self, names: Sequence[ForgettingName], seen: Seen | None = None
    ) -> tuple[ForgettingTask, ...]:
        """Build tasks in the order to measure them.

        Args:
            names: What was asked for.
            seen: Facts that are trained or calibrated on; they are not measured.

        Raises:
            UsageError: Data that cannot be had, or a task that cannot be measured; one line.
        """
        return tuple(self._task(name, seen or Seen()) for name in names)

    def on(self, base: Base, tasks: Sequence[ForgettingTask]) -> ForgettingSuite:
        """Return the measurements of tasks on models that are tuned from a base."""
        return ForgettingSuite(tasks, base, self._limit, self._cache)

    def _task(self, asked: ForgettingName, seen: Seen) -> ForgettingTask:
        name = asked.name
        if asked.kind is ForgettingKind.DRIFT:
            sequences = min(self._limit, SEQUENCES)
            return self._once(("drift", sequences), partial(Drift, sequences, self._cache))
        if asked.kind is ForgettingKind.LM_EVAL:
            wanted = (name, self._access, self._limit)
            return self._once(wanted, partial(lm_eval_harness_task, *wanted))
        facts, prompt, dropped = forget_facts(
            name, self._access, self._limit, seen, trained=name in self._trained_tasks
        )
        note = f"{name}: {dropped} forget facts are trained on elsewhere: dropped"
        content = (name, facts, prompt, (note,) if dropped else ())
        return self._once(content, partial(knowledge_harness_task, *content))

    def _once(self, content: Hashable, build: Callable[[], ForgettingTask]) -> ForgettingTask:
        if content not in self._built:
            self._built[content] = build()
        return self._built[content]


@dataclass(frozen=True)
class ForgettingSuite:
    """Forgetting tasks on one base, with which every tuned model is paired.

    Args:
        tasks: In the order to measure them.
        base: The pristine base.
        limit: The most items of each that were asked for; recorded.
        cache: Keeps the base's scores, with what they cost.
    """

    tasks: Sequence[ForgettingTask]
    base: Base
    limit: int
    cache: CostCache

    @property
    def shared(self) -> list[Shared[Any]]:
        """What the tasks ask the base for that one process can compute for all."""
        return [value for task in self.tasks if (value := task.shared(self.base))]

    def base_scores(self, task: ForgettingTask) -> ItemScores:
        """Return the pristine base's scores on a task, measured on first use."""
        wanted = task.shared(self.base)
        if wanted is not None and wanted.kind is ItemScores:
            scores: ItemScores = self.cache.get_shared(wanted)
            return scores
        # Nothing pins the items for other processes, or the base wrote them itself.
        return self.cache.get(
            ("base score", self.base.name, id(task)),
            lambda: task.score(self.base, self.base.model),
        )

    def measure(self, model: nn.Module) -> list[Forgetting]:
        """Score a model tuned from the base on every task, paired per item with the base."""
        return [
            compare(self.base_scores(task), task.score(self.base, model), self.limit)
            for task in self.tasks
        ]


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

    Args:
        name: The task as written.
        access: Where its data may be read from.
        limit: At most so many facts; None: all.
        seen: Facts that are trained or calibrated on; they are left out.
        trained: Whether the run trains on the task too.

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
