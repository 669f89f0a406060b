"""Two sets of facts for tuning: a candidate is chosen on one and reported on the other.

Learning some facts teaches nothing about others, so each set is both trained and scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from tasks.base import KnowledgeTask
from tasks.errors import UsageError
from tasks.fact import Fact, hash_fraction


class FactSet(StrEnum):
    """The two disjoint sets of a train part; a hash of the subject decides."""

    TUNING = "tuning"
    REPORTING = "reporting"


TUNING_SHARE = 0.5
"""Share of the subjects: learning rates carry over best between sets of equal size."""


def fact_set_of(task: KnowledgeTask, fact: Fact) -> FactSet:
    """Return the set a fact of the train part belongs to; facts of one subject stay together."""
    fraction = hash_fraction("tuning", task.family, fact.unit)
    return FactSet.TUNING if fraction < TUNING_SHARE else FactSet.REPORTING


def divide_facts(task: KnowledgeTask, facts: Sequence[Fact]) -> tuple[list[Fact], list[Fact]]:
    """Divide the facts of a train part into a tuning set and a reporting set, keeping their order.

    Raises:
        UsageError: One of the sets would be empty.
    """
    sets: dict[FactSet, list[Fact]] = {FactSet.TUNING: [], FactSet.REPORTING: []}
    for fact in facts:
        sets[fact_set_of(task, fact)].append(fact)
    tuning, reporting = sets.values()
    if not tuning or not reporting:
        subjects = len({fact.unit for fact in facts})
        raise UsageError(
            f"task '{task.name}': {subjects} {'subject is' if subjects == 1 else 'subjects are'} "
            "too few for a tuning set and a reporting set; give more facts, or a single learning "
            "rate without --tune"
        )
    return tuning, reporting
