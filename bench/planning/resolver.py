"""Turn names into models, facts and recipes, both when planning and in worker processes.

A grid is planned once. Workers receive the specifications of its cells (`Assignment`), resolve
them with the same code as the plan, and refuse a cell that is no longer the planned one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from pydantic import BaseModel, ConfigDict

from bench.config.options import RunOptions
from bench.evaluation.version import EVALUATION
from bench.models.device import compute_of
from bench.models.registry import ModelSource, resolve_model
from bench.models.shape import context_of, refuse_long_windows
from bench.planning.candidates import Candidate
from bench.planning.first_steps import after, refuse_leaks
from bench.planning.planned_cell import CellState, PlannedCell
from bench.planning.task_data import TaskCatalog, TaskData, TaskSets
from bench.store.records import CellSpec, Tuned
from bench.store.store import Stamp
from bench.training import schedule
from methods.recipe import Recipe, parse_recipe, part_name
from tasks.context import Context, TrainPrompt
from tasks.division import FactSet
from tasks.errors import UsageError
from tasks.fact import Fact, facts_digest
from tasks.forgetting.names import ForgettingKind
from tasks.forgetting.overlap import without_seen

SPARE_KNOWLEDGE = ("elements",)
"""Stands for knowledge that must be kept where no forgetting task has facts to spare."""


class Assignment(BaseModel):
    """A planned cell as it is sent to another process.

    Attributes:
        cell_id: The id that it is stored under.
        spec: What identifies it.
        stamp: The stamp of its record when it was planned.
        is_first: Whether other cells start from it.
    """

    model_config = ConfigDict(frozen=True)

    cell_id: str
    spec: CellSpec
    stamp: Stamp | None
    is_first: bool = False

    @classmethod
    def of(cls, cell: PlannedCell) -> Assignment:
        """Return the assignment of a planned cell."""
        return cls(cell_id=cell.cell_id, spec=cell.spec, stamp=cell.stamp, is_first=cell.is_first)


class Resolver:
    """Looks up models, facts and recipes, each only once: a grid has thousands of cells.

    Args:
        options: The options of the run.
    """

    def __init__(self, options: RunOptions) -> None:
        self._dtype = compute_of(options).dtype
        self._tasks = TaskCatalog(options)
        self._forgetting = options.forgetting
        # If drift is measured, it alone decides between equal candidates: no other task is needed.
        drift = tuple(n for n in options.forgetting if n.kind is ForgettingKind.DRIFT)
        self._options = options
        self._deciding = drift or options.forgetting
        self.recipe = lru_cache(maxsize=None)(parse_recipe)
        self.sets = lru_cache(maxsize=None)(self._tasks.sets)
        self._revision = lru_cache(maxsize=None)(ModelSource.revision)
        self._calibration = lru_cache(maxsize=None)(self._facts_of)
        self.first = lru_cache(maxsize=None)(self._first)
        self._unleaked: set[tuple[str, str]] = set()
        self._unseen: dict[Hashable, tuple[tuple[Fact, ...], str]] = {}

    def cell(
        self,
        source: ModelSource,
        sets: TaskSets,
        candidate: Candidate,
        seed: int,
        tuned: Tuned | None,
        first: PlannedCell | None = None,
    ) -> PlannedCell:
        """Make a cell; its state in the store is not looked up.

        Args:
            source: Its model.
            sets: The facts of its task, from `sets`.
            candidate: How it trains.
            seed: Its seed.
            tuned: Its part in a tuned grid, from `tuned_as`; None if nothing is tuned.
            first: The first step that it starts from; None if there is none.

        Raises:
            UsageError: The model has no revision, calibration facts cannot be read, windows of
                texts are longer than the model reads, or the first step trains what the cell asks.
        """
        recipe = candidate.recipe
        names = recipe.adapter.calibration_tasks(self._tasks.forgotten)
        calibration, calibration_digest = self._calibration(tuple(names))
        fact_set = tuned.fact_set if tuned else None
        # Why a candidate forgets is never shown.
        explains = self._options.explain and fact_set is not FactSet.TUNING
        knowledge, knowledge_digest = self._knowledge() if explains else ((), "")
        data = sets.of(fact_set)
        _refuse_texts(recipe, data, self._options.train_prompt)
        if data.lessons:
            refuse_long_windows(data.task.form.window, context_of(source), source.name)
        replay, replay_digest = self._replay(recipe, data)
        if first is not None and (pair := (first.data.digest, data.digest)) not in self._unleaked:
            refuse_leaks(first.data, data)
            self._unleaked.add(pair)
        spec = CellSpec(
            model=source.name,
            model_revision=self._revision(source),
            dtype=self._dtype,
            quantisation=self._options.quantize,
            task=data.name,
            facts_digest=data.digest,
            facts=len(data.facts),
            lessons_digest=data.lessons_digest,
            lessons=len(data.lessons),
            prompt_digest=data.prompt_digest,
            calibration_digest=calibration_digest,
            replay_digest=replay_digest,
            method=recipe.name,
            recipe=recipe.full_name,
            source_digest=recipe.source_digest,
            learning_rate=candidate.learning_rate,
            epochs=candidate.epochs or data.task.epochs,
            batch_size=candidate.batch_size,
            optimizer=schedule.describe(),
            seed=seed,
            evaluation=EVALUATION,
            tuned=tuned,
            after=after(first, self._options.after.mode) if first and self._options.after else None,
            train_prompt=_asked_with(data, self._options.train_prompt),
            accumulation=self._options.accumulation,
            schedule=self._options.schedule,
            warmup=self._options.warmup,
        )
        return PlannedCell(
            spec=spec,
            state=CellState.MISSING,
            why="",
            source=source,
            recipe=recipe,
            data=data,
            calibration=calibration,
            replay=replay,
            forgetting=self._deciding if fact_set is FactSet.TUNING else self._forgetting,
            first=first,
            evaluate=() if fact_set is FactSet.TUNING else self._options.evaluate,
            knowledge=knowledge,
            knowledge_digest=knowledge_digest,
        )

    def _first(self, source: ModelSource, seed: int) -> PlannedCell | None:
        """Return the first step of `--after` on a model with a seed; None without that option.

        It trains at its recipe's own rate, whatever the grid tunes.

        Raises:
            UsageError: See `cell`.
        """
        if (step := self._options.after) is None:
            return None
        recipe = self.recipe(step.recipe)
        rate, options = recipe.adapter.learning_rate, self._options
        candidate = Candidate(recipe, rate, options.epochs, options.batch_size)
        sets = self.sets(step.task, divided=False)
        return replace(self.cell(source, sets, candidate, seed, None), is_first=True)

    def _replay(self, recipe: Recipe, data: TaskData) -> tuple[tuple[Fact, ...], str]:
        """Return what a recipe may replay on a task, and its digest: nothing that the task asks.

        Raises:
            UsageError: Nothing is left, or facts cannot be read.
        """
        tasks = recipe.replay.calibration_tasks(self._tasks.forgotten) if recipe.replay else ()
        if not tasks:
            return (), ""
        facts, _ = self._calibration(tuple(tasks))
        key = (tuple(tasks), data.digest, data.lessons_digest)
        if key not in self._unseen:
            kept = without_seen(facts, (*data.facts, *data.trained)).facts
            if not kept:
                raise UsageError(
                    f"'{recipe.name}': {', '.join(tasks)} has no calibration facts to replay that "
                    f"task '{data.name}' does not train or ask; name another with replay[tasks=...]"
                )
            self._unseen[key] = (kept, facts_digest(kept))
        return self._unseen[key]

    def _knowledge(self) -> tuple[tuple[Fact, ...], str]:
        """Return the calibration part of the run's forgetting tasks, or of `SPARE_KNOWLEDGE`."""
        found = self._calibration(self._tasks.forgotten)
        return found if found[0] else self._calibration(SPARE_KNOWLEDGE)

    def _facts_of(self, tasks: tuple[str, ...]) -> tuple[tuple[Fact, ...], str]:
        """Return the calibration part of tasks, and its digest."""
        facts = tuple(fact for name in tasks for fact in self._tasks.calibration(name))
        return facts, facts_digest(facts) if facts else ""


def _asked_with(data: TaskData, prompt: TrainPrompt) -> TrainPrompt:
    """Return the prompt that facts are trained and asked with.

    Texts do not teach how questions are answered: asked plainly, a model goes on in their style
    with a whole sentence, which counts as wrong. So they are asked after demonstrations, as the
    base is.
    """
    texts = bool(data.lessons) and all(lesson.is_text for lesson in data.lessons)
    return TrainPrompt.FEW_SHOT if texts and prompt is TrainPrompt.PLAIN else prompt


def _refuse_texts(recipe: Recipe, data: TaskData, prompt: TrainPrompt) -> None:
    """Refuse what makes no sense where texts or conversations are trained.

    Args:
        recipe: The recipe; its strategies must not choose or weigh facts by answers.
        data: What is trained.
        prompt: The prompt of the questions; texts alone have none to mix.

    Raises:
        UsageError: There is something of that kind.
    """
    if data.prompt.form.chat and Context.CHAT in prompt.trained:
        raise UsageError(
            f"--train-prompt {prompt}: the conversations of '{data.name}' are put by the model's "
            "chat template in any case; use plain or few_shot"
        )
    if prompt is TrainPrompt.MIXED and all(lesson.is_text for lesson in data.trained):
        raise UsageError(
            f"--train-prompt {prompt}: task '{data.name}' trains texts, which have no prompts to "
            "take turns; name the one in which questions are asked: few_shot or chat"
        )
    part = recipe.filter or recipe.weights or recipe.order
    if part is not None and any(lesson.is_text for lesson in data.trained):
        raise UsageError(
            f"'{recipe.name}': {part_name(part)} goes by the model's answers to questions, and "
            f"task '{data.name}' trains texts; leave out {part_name(part)}"
        )


def tuned_as(sets: TaskSets, fact_set: FactSet, method: str, values: Mapping[str, str]) -> Tuned:
    """Return the part that a cell has in a tuned grid.

    Args:
        sets: The facts of its task, divided.
        fact_set: The set that it trains.
        method: The recipe as it was requested.
        values: What is tuned, with the cell's own values.
    """
    other = sets.of(FactSet.REPORTING if fact_set is FactSet.TUNING else FactSet.TUNING)
    return Tuned(
        fact_set=fact_set,
        method=method,
        other_digest=other.digest,
        other_facts=len(other.facts),
        over=tuple(values),
        values=dict(values),
    )


def resolve(assignments: Iterable[Assignment], options: RunOptions) -> list[PlannedCell]:
    """Return the assigned cells, after checking that each is still the planned one.

    Raises:
        UsageError: Something that a cell is made of has changed or is gone.
    """
    resolver, cells = Resolver(options), []
    for given in assignments:
        spec, tuned = given.spec, given.spec.tuned
        sets = resolver.sets(spec.task, divided=tuned is not None)
        recipe = resolver.recipe(spec.method)
        candidate = Candidate(recipe, spec.learning_rate, spec.epochs, spec.batch_size)
        role = tuned and tuned_as(sets, tuned.fact_set, tuned.method, tuned.values)
        source = resolve_model(spec.model)
        first = resolver.first(source, spec.seed) if spec.after else None
        cell = resolver.cell(source, sets, candidate, spec.seed, role, first)
        if cell.cell_id != given.cell_id:
            raise UsageError(
                f"{_what_changed(spec, cell.spec)} changed since this run was planned; finished "
                "cells are saved: run the same command again"
            )
        cells.append(replace(cell, stamp=given.stamp, is_first=given.is_first))
    return cells


def _what_changed(planned: CellSpec, found: CellSpec) -> str:
    """Name the first part of a cell that differs from the plan."""
    method = found.method
    named = {
        "facts_digest": f"task '{planned.task}'",
        "lessons_digest": f"task '{planned.task}'",
        "tuned": f"task '{planned.task}'",
        "prompt_digest": f"the demonstrations of task '{planned.task}'",
        "calibration_digest": f"what method '{method}' calibrates on",
        "replay_digest": f"what method '{method}' replays",
        "source_digest": f"the source of method '{method}', or a file that it names,",
        "model_revision": f"model '{planned.model}'",
        "after": f"the first step of method '{method}'",
    }
    differing = (name for name in named if getattr(planned, name) != getattr(found, name))
    return named.get(next(differing, ""), "this program")
