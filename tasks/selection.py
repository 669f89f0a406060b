"""Which facts of a task a run uses, and the promise that neighbours stay untrained."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tasks.base import KnowledgeTask
from tasks.fact import Fact, FactPart, Neighbour, hash_fraction

NEIGHBOURS = 2


def select_facts(
    task: KnowledgeTask, facts: Iterable[Fact], part: FactPart, limit: int | None
) -> tuple[Fact, ...]:
    """Return at most `limit` facts of a part, in the fixed order of a hash of their ids.

    A smaller limit gives a prefix of a larger one; `None` gives the whole part.
    """
    return first_facts(part_facts(task, facts, part), limit)


def part_facts(task: KnowledgeTask, facts: Iterable[Fact], part: FactPart) -> list[Fact]:
    """Return the facts of a part in the order in which they were given."""
    return [fact for fact in facts if task.part_of(fact) is part]


def first_facts(facts: Iterable[Fact], limit: int | None) -> tuple[Fact, ...]:
    """Return at most `limit` facts in the fixed order of a hash of their ids."""
    if limit is None:
        return tuple(sorted(facts, key=_order))
    return tuple(heapq.nsmallest(limit, facts, key=_order))


def with_neighbours(
    task: KnowledgeTask, facts: Sequence[Fact], count: int = NEIGHBOURS
) -> tuple[Fact, ...]:
    """Give every fact up to `count` neighbours: the same relation, asked of untrained subjects.

    They come from the forget part, so training can never reach them.
    """
    pools: dict[str, list[Fact]] = {}
    for fact in select_facts(task, facts, FactPart.FORGET, None):
        pools.setdefault(fact.relation, []).append(fact)
    return tuple(
        replace(fact, neighbours=_draw(fact, pools.get(fact.relation, []), count)) for fact in facts
    )


def _draw(fact: Fact, pool: Sequence[Fact], count: int) -> tuple[Neighbour, ...]:
    """Take the `count` members of the pool that follow the fact's own hash, around a circle."""
    start = int(hash_fraction("neighbours", fact.id) * len(pool))
    circle = (pool[(start + step) % len(pool)] for step in range(min(count + 1, len(pool))))
    others = [other for other in circle if other.subject != fact.subject]
    return tuple(Neighbour(other.question, other.answers) for other in others[:count])


def _order(fact: Fact) -> float:
    return hash_fraction("select", fact.id)
