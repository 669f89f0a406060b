"""The names that options take, for what helps to write them: schema, completion, questions."""

from __future__ import annotations


def known_names() -> dict[str, list[str]]:
    """Return by option the names that can be written for it, without importing torch."""
    from bench.models.registry import EMBEDDED
    from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES
    from tasks.base import TASKS
    from tasks.forgetting.names import ForgettingKind
    from tasks.problems.base import problem_sets

    parts = (ADAPTERS, PLACEMENTS, STRATEGIES)
    return {
        "methods": [name for registry in parts for name in registry.names()],
        "tasks": TASKS.names(),
        "forgetting": [*TASKS.names(), ForgettingKind.DRIFT.value, "none"],
        "models": list(EMBEDDED),
        "evaluate": list(problem_sets()),
    }
