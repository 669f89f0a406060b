"""Which facts of a task a run uses, and neighbours that are never trained."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tasks.base import KnowledgeTask
from tasks.fact import Fact, FactPart, Neighbour, hash_fraction
from tasks.scoring import normalise

NEIGHBOURS = 2


def select_facts(
    task: KnowledgeTask, facts: Iterable[Fact], part: FactPart, limit: int | None
) -> tuple[Fact, ...]:
    """Return at most `limit` facts of a part, in the order of a hash of their groups or ids.

    A smaller limit returns the beginning of what a larger one returns.

    Args:
        task: The task, which decides the part of each fact.
        facts: Its facts.
        part: Which part.
        limit: Most facts to return; None returns the whole part.
    """
    return first_facts(part_facts(task, facts, part), limit)


def part_facts(task: KnowledgeTask, facts: Iterable[Fact], part: FactPart) -> list[Fact]:
    """Return the facts of a part, in their order."""
    return [fact for fact in facts if task.part_of(fact) is part]


def first_facts(facts: Iterable[Fact], limit: int | None) -> tuple[Fact, ...]:
    """Return at most `limit` facts, in the order of a hash of their groups or ids."""
    if limit is None:
        return tuple(sorted(facts, key=_order))
    return tuple(heapq.nsmallest(limit, facts, key=_order))


def with_neighbours(
    task: KnowledgeTask, facts: Sequence[Fact], count: int = NEIGHBOURS
) -> tuple[Fact, ...]:
    """Give every fact neighbours: questions for the same relation of untrained subjects.

    Neighbours come from the forget part, so they are never trained.

    Args:
        task: The task, which decides the part of each fact.
        facts: Its facts.
        count: Most neighbours per fact.
    """
    pools: dict[str, list[Fact]] = {}
    for fact in select_facts(task, facts, FactPart.FORGET, None):
        pools.setdefault(fact.relation, []).append(fact)
    return tuple(
        replace(fact, neighbours=_draw(fact, pools.get(fact.relation, []), count)) for fact in facts
    )


def _draw(fact: Fact, pool: Sequence[Fact], count: int) -> tuple[Neighbour, ...]:
    """Return `count` members of the pool, from a place the fact's hash decides, wrapping around."""
    start = int(hash_fraction("neighbours", fact.id) * len(pool))
    circle = (pool[(start + step) % len(pool)] for step in range(min(count + 1, len(pool))))
    others = [o for o in circle if normalise(o.subject) != normalise(fact.subject)]
    return tuple(Neighbour(other.question, other.answers) for other in others[:count])


def _order(fact: Fact) -> float:
    return hash_fraction("select", fact.group or fact.id)
