"""The names that options take, for what helps to write them: schema, completion, questions."""

from __future__ import annotations

from collections.abc import Callable


def known_names(option: str) -> list[str]:
    """Return the names that can be written for an option, without importing torch.

    Args:
        option: `methods`, `tasks`, `forgetting`, `models`, `evaluate` or `log_to`; others have
            none.
    """
    return _KNOWN[option]() if option in _KNOWN else []


def _parts() -> list[str]:
    from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES

    return [name for registry in (ADAPTERS, PLACEMENTS, STRATEGIES) for name in registry.names()]


def _tasks() -> list[str]:
    from tasks.base import TASKS

    return TASKS.names()


def _forgotten() -> list[str]:
    from tasks.forgetting.names import NONE, ForgettingKind

    return [*_tasks(), ForgettingKind.DRIFT.value, NONE]


def _models() -> list[str]:
    from bench.models.registry import EMBEDDED

    return list(EMBEDDED)


def _problems() -> list[str]:
    from tasks.problems.base import problem_sets

    return list(problem_sets())


def _trackers() -> list[str]:
    from bench.trackers.registry import NONE, TRACKERS

    return [*TRACKERS, NONE]


_KNOWN: dict[str, Callable[[], list[str]]] = {
    "methods": _parts,
    "tasks": _tasks,
    "forgetting": _forgotten,
    "models": _models,
    "evaluate": _problems,
    "log_to": _trackers,
}

NAMED = tuple(option for option in _KNOWN if option != "log_to")
"""The options whose names the schema lists: those that more may be installed of."""
