"""Which recipes and tasks a study takes that says itself what is trained when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.recipe import Recipe
from tasks.errors import UsageError

if TYPE_CHECKING:
    from bench.planning.task_data import TaskData


def refuse_strategies(recipe: Recipe, study: str) -> None:
    """Refuse parts that choose or weigh facts.

    Raises:
        UsageError: The recipe has one.
    """
    plain = Recipe(recipe.adapter, recipe.placement)
    if recipe.parts != plain.parts:
        raise UsageError(
            f"--methods '{recipe.name}': study {study} trains every fact with the same weight; "
            f"write {plain.name}"
        )


def refuse_held_out(data: TaskData, task: str, study: str) -> None:
    """Refuse tasks that ask other facts than they train.

    Args:
        data: The task's facts.
        task: Its name as written.
        study: The study's name.

    Raises:
        UsageError: It is such a task.
    """
    if data.held_out:
        raise UsageError(
            f"--task '{task}': study {study} asks the facts that it trains, and this task holds "
            "out what is asked; give a task of facts, such as countries"
        )
