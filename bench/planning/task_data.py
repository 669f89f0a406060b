"""The facts of a run: each knowledge task is read once, limited, and divided for tuning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from bench.config.options import RunOptions
from bench.store.asks import Asks
from tasks.base import DataAccess, KnowledgeTask
from tasks.division import FactSet, divide_facts
from tasks.documents.texts import Learn, TextTask
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart, facts_digest
from tasks.forgetting.names import knowledge_names
from tasks.prompt import Prompt, choose_demonstrations
from tasks.resolve import resolve_task
from tasks.selection import first_facts, part_facts, select_facts

TUNING_FACTS = 256
"""Without `--tune-limit`, a tuning set has at least so many facts where the task has them: with
fewer, chance decides between neighbouring learning rates."""

CHARACTERS_OF_TOKEN = 4
"""About how many characters of a text are one token."""


@dataclass(frozen=True)
class TaskData:
    """A task with the facts of a run.

    Attributes:
        task: The task.
        available: How many facts its train part has, or one set of it in a tuned grid.
        facts: The selected facts, which are asked before and after training.
        prompt: Its demonstrations.
        lessons: What is trained, if that is not the facts that are asked.
    """

    task: KnowledgeTask
    available: int
    facts: tuple[Fact, ...]
    prompt: Prompt
    lessons: tuple[Fact, ...] = ()

    @property
    def trained(self) -> tuple[Fact, ...]:
        """What is trained: the lessons, or else the facts themselves."""
        return self.lessons or self.facts

    @property
    def held_out(self) -> bool:
        """Whether other facts are asked than are trained."""
        return bool(self.lessons)

    @cached_property
    def asks(self) -> Asks:
        """What it asks, by what it trains."""
        if not self.lessons:
            return Asks.FACTS
        texts = sum(lesson.is_text for lesson in self.lessons)
        if not texts:
            return Asks.PROBLEMS
        return Asks.QUESTIONS if texts == len(self.lessons) else Asks.TRAINED_QUESTIONS

    @cached_property
    def text_tokens(self) -> int:
        """About how many tokens of texts are trained in an epoch; 0 if no texts are."""
        texts = (len(lesson.target) for lesson in self.lessons if lesson.is_text)
        return math.ceil(sum(texts) / CHARACTERS_OF_TOKEN)

    @cached_property
    def rows(self) -> int:
        """About how many rows an epoch trains: texts are packed into windows."""
        window = self.task.form.window
        if not self.text_tokens or not window:
            return len(self.trained)
        return math.ceil(self.text_tokens / window) + self.asked_in_training

    @property
    def asked_in_training(self) -> int:
        """How many of the lessons are questions."""
        return sum(not lesson.is_text for lesson in self.trained)

    @cached_property
    def name(self) -> str:
        """The task's name, found only once: a grid has thousands of cells."""
        return self.task.name

    @cached_property
    def digest(self) -> str:
        """The digest of the selected facts."""
        return facts_digest(self.facts)

    @cached_property
    def lessons_digest(self) -> str:
        """The digest of the lessons; empty if the facts themselves are trained."""
        return facts_digest(self.lessons) if self.lessons else ""

    @cached_property
    def prompt_digest(self) -> str:
        """The digest of the demonstrations."""
        return self.prompt.digest


@dataclass(frozen=True)
class TaskSets:
    """The facts of a task that a run uses.

    Attributes:
        reporting: The facts that the leaderboard is about.
        tuning: The facts that candidates are chosen on: other subjects, with the same prompt;
            None if nothing is tuned.
    """

    reporting: TaskData
    tuning: TaskData | None = None

    def of(self, fact_set: FactSet | None) -> TaskData:
        """Return one set of facts; None means all of an undivided task."""
        if fact_set is not FactSet.TUNING:
            return self.reporting
        assert self.tuning is not None, "this task was not divided"
        return self.tuning


class TaskCatalog:
    """The knowledge tasks of a run, each read only once."""

    def __init__(self, options: RunOptions) -> None:
        self._limit, self._tune_limit = options.limit, options.tune_limit
        self.forgotten = knowledge_names(options.forgetting)

        @cache
        def rows(name: str) -> tuple[KnowledgeTask, Sequence[Fact]]:
            trained, forgotten = name in options.trained_tasks, name in self.forgotten
            task = resolve_task(name, trained=trained, forgotten=forgotten)
            return task, task.load(DataAccess(options.data_dir))

        self._rows = rows

    def sets(self, name: str, *, divided: bool) -> TaskSets:
        """Select the facts of a task, dividing those to tune on from those to report on.

        Demonstrations that come from a divided train part are about subjects of the tuning set.

        Raises:
            UsageError: There are no facts to train on, or too few subjects to divide.
        """
        task, rows = self._rows(name)
        available = part_facts(task, rows, FactPart.TRAIN)
        if not available:
            raise UsageError(f"task '{name}' has no facts to train on")
        limit = self._limit or task.limit
        if isinstance(task, TextTask):
            return self._texts(task, rows, limit, divided=divided)
        tuning, reporting = divide_facts(task, available) if divided else ([], available)
        tried = first_facts(tuning, self._tried(limit))
        reported = first_facts(reporting, limit)
        asked_tried, asked = self._held_out(task, rows, divided=divided)
        # Calibration rows first: neither trained, nor asked as neighbours or forgetting items.
        spare = part_facts(task, rows, FactPart.CALIBRATION) or tuning or reporting
        shown_nowhere = [*tried, *reported, *asked_tried, *asked]
        prompt = choose_demonstrations(spare, shown_nowhere, task.form)

        def data(available: int, trained: tuple[Fact, ...], asked: tuple[Fact, ...]) -> TaskData:
            if task.held_out:
                return TaskData(task, available, asked, prompt, lessons=trained)
            return TaskData(task, available, trained, prompt)

        return TaskSets(
            data(len(reporting), reported, asked),
            data(len(tuning), tried, asked_tried) if divided else None,
        )

    def _tried(self, limit: int) -> int:
        """Return how many facts of a task, of which `limit` are reported, are tuned on."""
        return self._tune_limit or max(limit, TUNING_FACTS)

    def _texts(
        self, task: TextTask, rows: Sequence[Fact], limit: int, *, divided: bool
    ) -> TaskSets:
        """Select the questions of a text, and the passages that tell what they ask.

        Where it is tuned, other questions are asked while tuning. The passages are other ones too
        if the task knows which passage tells what.
        """
        available = part_facts(task, rows, FactPart.TRAIN)
        questions = [fact for fact in available if not fact.is_text]
        passages = [fact for fact in available if fact.is_text]
        if divided and not questions:
            raise UsageError(
                f"task '{task.name}' asks nothing to tune by: name a file with --questions, or "
                "give a single learning rate without --tune"
            )
        tuning, reporting = divide_facts(task, questions) if divided else ([], questions)
        tried = task.first(tuning, self._tried(limit))
        asked = task.first(reporting, limit)
        spare = [f for f in part_facts(task, rows, FactPart.CALIBRATION) if not f.is_text]
        prompt = choose_demonstrations(spare or tuning or reporting, [*tried, *asked], task.form)

        def data(asked: tuple[Fact, ...], available: int) -> TaskData:
            if task.learn is Learn.QUESTIONS:
                return TaskData(task, available, asked, prompt)
            lessons = task.telling(passages, asked)
            trained = (*lessons, *asked) if task.learn is Learn.BOTH else lessons
            count = len(passages) + (available if task.learn is Learn.BOTH else 0)
            return TaskData(task, count, asked, prompt, lessons=trained)

        return TaskSets(data(asked, len(reporting)), data(tried, len(tuning)) if divided else None)

    def _held_out(
        self, task: KnowledgeTask, rows: Sequence[Fact], *, divided: bool
    ) -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
        """Return the held-out facts to ask while tuning, and those to report."""
        if not task.held_out:
            return (), ()
        test = part_facts(task, rows, FactPart.TEST)
        tuning, reporting = divide_facts(task, test) if divided and test else ([], test)
        return first_facts(tuning, task.asked_limit), first_facts(reporting, task.asked_limit)

    def calibration(self, name: str) -> tuple[Fact, ...]:
        """Return the facts of a task's calibration part."""
        task, rows = self._rows(name)
        return select_facts(task, rows, FactPart.CALIBRATION, None)
