"""First steps of a grid, see `--after`: what they are to their followers, and which are refused."""

from __future__ import annotations

from collections.abc import Iterable

from bench.config.options import RunOptions, flag
from bench.config.types import Quantisation
from bench.planning.candidates import Method
from bench.planning.planned_cell import PlannedCell, setting_digest
from bench.planning.task_data import TaskData
from bench.store.records import After
from methods.recipe import parse_recipe
from methods.two_steps.mode import VERSION, StepMode
from methods.two_steps.rules import refuse_first, refuse_second
from tasks.documents.texts import refuse_shown
from tasks.errors import UsageError
from tasks.forgetting.names import knowledge_names
from tasks.forgetting.overlap import without_seen
from tasks.leakage import leaks
from tasks.resolve import resolve_task


def check_first_step(options: RunOptions, methods: Iterable[Method]) -> None:
    """Check the names of `--after`, and that every method can follow.

    Raises:
        UsageError: The task or the recipe is unknown, the step's task is one of the grid's, or
            what the step or a method trains does not fit the mode.
    """
    step = options.after
    if step is None:
        return
    resolve_task(
        step.task, trained=True, forgotten=step.task in knowledge_names(options.forgetting)
    )
    if step.task in options.tasks:
        raise UsageError(
            f"--after '{step.task}': --tasks trains it too, so that nothing would be left to learn "
            "in the second step; name another task"
        )
    if options.quantize is not Quantisation.NONE:
        raise UsageError(
            f"{flag('after')} with --quantize {options.quantize}: the model after a first step has "
            "weights of its own, which packed ones cannot hold; leave out --quantize"
        )
    refuse_first(parse_recipe(step.recipe).adapter, step.mode)
    for candidate in (one for method in methods for one in method.candidates):
        refuse_second(candidate.recipe.adapter, step.mode)


def after(first: PlannedCell, mode: StepMode) -> After:
    """Return the part that a first step has in the identity of its followers."""
    return After(
        cell=first.cell_id,
        mode=mode,
        task=first.spec.task,
        method=first.spec.method,
        setting=setting_digest(first.spec),
        version=VERSION,
    )


def refuse_leaks(first: TaskData, second: TaskData) -> None:
    """Refuse a second step whose facts the first one has trained.

    Raises:
        UsageError: It has trained some, which the error counts, or a text of it asks one.
    """
    # What has no question is a text.
    trained = [fact for fact in first.trained if not fact.is_text]
    facts = tuple(fact for fact in (*second.trained, *second.facts) if not fact.is_text)
    distinct = tuple(dict.fromkeys(facts))
    if count := without_seen(distinct, trained).dropped:
        raise UsageError(
            f"--after '{first.name}': {count} of {len(distinct)} questions of task '{second.name}' "
            "are trained in the first step already; use facts that only one of them has"
        )
    # A text to classify may be one of those that a domain consists of: they do not tell its label.
    if not second.task.form.labels:
        passages = [fact for fact in first.trained if fact.is_text]
        refuse_shown(f"--after '{first.name}': {second.name}", passages, distinct)


def leak_notes(cells: Iterable[PlannedCell]) -> list[str]:
    """Say which paraphrases and neighbours of a second step the first one has trained."""
    pairs = {
        (cell.first.data.digest, cell.data.digest): (cell.first.data, cell.data)
        for cell in cells
        if cell.first is not None
    }
    lines = []
    for first, second in pairs.values():
        trained = [fact for fact in first.trained if not fact.is_text]
        if count := sum(1 for _ in leaks(second.facts, trained)):
            lines.append(
                f"{second.name}: {count} paraphrases and neighbours are asked that the first step "
                f"on {first.name} has trained"
            )
    return lines
