"""The facts of a run: each knowledge task read once, selected, divided where something is tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from bench.config.options import RunOptions
from tasks.base import DataAccess, KnowledgeTask
from tasks.division import FactSet, divide_facts
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart, facts_digest
from tasks.forgetting.names import knowledge_names
from tasks.prompt import Prompt, choose_demonstrations
from tasks.resolve import resolve_task
from tasks.selection import first_facts, part_facts, select_facts


@dataclass(frozen=True)
class TaskData:
    """A knowledge task with the facts of a run.

    Attributes:
        task: The task.
        available: Facts in its train part, or in that set of it.
        facts: The selected ones.
        prompt: Its demonstrations.
    """

    task: KnowledgeTask
    available: int
    facts: tuple[Fact, ...]
    prompt: Prompt

    @cached_property
    def name(self) -> str:
        """The task's, found once: it is read off annotations, and a grid has thousands of cells."""
        return self.task.name

    @cached_property
    def digest(self) -> str:
        """Of the selected facts."""
        return facts_digest(self.facts)

    @cached_property
    def prompt_digest(self) -> str:
        """Of the demonstrations."""
        return self.prompt.digest


@dataclass(frozen=True)
class TaskSets:
    """What a run does with a task's facts.

    Attributes:
        reporting: What the leaderboard is about.
        tuning: What candidates are chosen on: other subjects, with the same prompt, in which no
            subject of either set is; None where nothing is tuned.
    """

    reporting: TaskData
    tuning: TaskData | None = None

    def of(self, fact_set: FactSet | None) -> TaskData:
        """Return a set of facts; None is all of an undivided task."""
        if fact_set is not FactSet.TUNING:
            return self.reporting
        assert self.tuning is not None, "this task was not divided"
        return self.tuning


class TaskCatalog:
    """The knowledge tasks of a run, each read once."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        self._trained = set(options.tasks)
        self.forgotten = knowledge_names(options.forgetting)
        self._access = DataAccess(options.data_dir)
        self._rows = lru_cache(maxsize=None)(self._load)

    def sets(self, name: str, *, divided: bool) -> TaskSets:
        """Select the facts of a task, those to tune on apart from those to report on.

        Where demonstrations are drawn from a divided train part, they are of the tuning set's
        subjects.

        Raises:
            UsageError: There are none to train, or too few subjects to divide.
        """
        task, rows = self._rows(name)
        available = part_facts(task, rows, FactPart.TRAIN)
        if not available:
            raise UsageError(f"task '{name}' has no facts to train")
        tuning, reporting = divide_facts(task, available) if divided else ([], available)
        tried, reported = (first_facts(part, self._options.limit) for part in (tuning, reporting))
        # Calibration rows first: neither trained, nor asked as neighbours or forgetting items.
        spare = part_facts(task, rows, FactPart.CALIBRATION) or tuning or reporting
        prompt = choose_demonstrations(spare, tried or reported)
        return TaskSets(
            TaskData(task, len(reporting), reported, prompt),
            TaskData(task, len(tuning), tried, prompt) if divided else None,
        )

    def calibration(self, name: str) -> tuple[Fact, ...]:
        """Return the calibration part of a task."""
        task, rows = self._rows(name)
        return select_facts(task, rows, FactPart.CALIBRATION, None)

    def _load(self, name: str) -> tuple[KnowledgeTask, Sequence[Fact]]:
        task = resolve_task(name, trained=name in self._trained, forgotten=name in self.forgotten)
        return task, task.load(self._access)
