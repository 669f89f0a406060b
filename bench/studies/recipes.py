"""Which recipes a study takes that says itself what is trained when."""

from __future__ import annotations

from methods.recipe import Recipe
from tasks.errors import UsageError


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
