"""The forgetting tasks of a run: the base is scored once and paired with every cell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from bench.forgetting.drift import SEQUENCES, Drift
from bench.forgetting.lm_eval_catalog import lm_eval_harness_task
from bench.forgetting.lm_eval_task import knowledge_harness_task
from bench.forgetting.scores import ForgettingTask, ItemScores, compare
from bench.models.capabilities import members_of
from bench.models.loading import Base
from bench.store.cost_cache import CostCache, Shared
from bench.store.records import Forgetting
from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart
from tasks.forgetting.names import ForgettingKind, ForgettingName, refuse_held_out
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

    Cells with the same questions share a task, and with it the scores of the base.

    Args:
        access: Where data may be read from.
        limit: The maximum number of items per task, and of texts for drift.
        trained_tasks: Tasks that the run trains on, as written; a file's parts depend on its roles.
        cache: Stores what tasks measure on a base.
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
        """Build tasks, in the order in which to measure them.

        Args:
            names: The requested tasks.
            seen: Facts that are trained or calibrated on, which are not measured.

        Raises:
            UsageError: Data is not available, or a task cannot be measured.
        """
        return tuple(self._task(name, seen or Seen()) for name in names)

    def on(self, base: Base, tasks: Sequence[ForgettingTask]) -> ForgettingSuite:
        """Return tasks bound to a base, for models that are tuned from it."""
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
        note = f"{name}: dropped {dropped} forget facts that are used for training or calibration"
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
        tasks: The tasks, in the order in which to measure them.
        base: The pristine base.
        limit: The requested maximum number of items per task, for the record.
        cache: Stores the base's scores with their cost.
    """

    tasks: Sequence[ForgettingTask]
    base: Base
    limit: int
    cache: CostCache

    @property
    def shared(self) -> list[Shared[Any]]:
        """What one process can compute on the base for all others."""
        return [value for task in self.tasks if (value := task.shared(self.base))]

    @property
    def without_drift(self) -> ForgettingSuite:
        """The same without drift, which checkpoints measure on fewer texts."""
        return replace(self, tasks=[t for t in self.tasks if not isinstance(t, Drift)])

    def base_scores(self, task: ForgettingTask) -> ItemScores:
        """Return the pristine base's scores on a task, measured on first use."""
        wanted = task.shared(self.base)
        if wanted is not None and wanted.kind is ItemScores:
            scores: ItemScores = self.cache.get_shared(wanted)
            return scores
        # The items have no digest that other processes know, or the base wrote them itself.
        return self.cache.get(
            ("base score", self.base.name, id(task)),
            lambda: task.score(self.base, self.base.model),
        )

    def measure(self, model: nn.Module) -> list[Forgetting]:
        """Score a tuned model on every task, paired per item with the base."""
        [found] = self.measure_together(model)
        return found

    def measure_together(self, model: nn.Module) -> list[list[Forgetting]]:
        """Score each member of a stack on every task, `[members][tasks]`."""
        found: list[list[Forgetting]] = [[] for _ in range(members_of(model))]
        for task in self.tasks:
            base = self.base_scores(task)
            for own, scores in zip(found, task.score_together(self.base, model), strict=True):
                own.append(compare(base, scores, self.limit))
        return found


def forget_facts(
    name: str,
    access: DataAccess,
    limit: int | None,
    seen: Seen = Seen(),  # noqa: B008, immutable
    *,
    trained: bool = False,
) -> tuple[tuple[Fact, ...], Prompt, int]:
    """Return a knowledge task's forget facts, their prompt, and how many were dropped as seen.

    Demonstrations come from its other parts and are neither scored nor trained on. They do not
    depend on what a method calibrates on, so that all methods get the same questions.

    Args:
        name: The task as written.
        access: Where its data may be read from.
        limit: The maximum number of facts; None: all.
        seen: Facts that are trained or calibrated on; they are left out.
        trained: Whether the run trains on the task too.

    Raises:
        UsageError: The task cannot be forgotten, or no facts are left to measure.
    """
    task = resolve_task(name, trained=trained, forgotten=True)
    refuse_held_out(task)
    rows = task.load(access)
    part = select_facts(task, rows, FactPart.FORGET, None)
    unseen = without_seen(part, [*seen.trained, *seen.calibrated])
    if not unseen.facts:
        raise UsageError(
            f"--forgetting {name}: no facts left to measure: its forget part has {len(part)}, and "
            f"{unseen.dropped} of them are used for training or calibration"
        )
    prompt = choose_demonstrations(rows, [*part, *seen.trained])
    return unseen.facts[:limit], prompt, unseen.dropped
