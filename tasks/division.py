"""Two sets of facts for tuning: one to choose a candidate on, one to report it on.

Facts do not generalise to facts that were not trained, so each set is both trained on and scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from tasks.base import KnowledgeTask
from tasks.errors import UsageError
from tasks.fact import Fact, hash_fraction


class FactSet(StrEnum):
    """The two disjoint sets of a train part, fixed by a hash of the subject."""

    TUNING = "tuning"
    REPORTING = "reporting"


TUNING_SHARE = 0.5
"""Of the subjects: a rate carries over best between sets that are trained in as many steps."""


def fact_set_of(task: KnowledgeTask, fact: Fact) -> FactSet:
    """Return the set a fact of the train part belongs to; those of one subject stay together."""
    fraction = hash_fraction("tuning", task.family, fact.subject or fact.id)
    return FactSet.TUNING if fraction < TUNING_SHARE else FactSet.REPORTING


def divide_facts(task: KnowledgeTask, facts: Sequence[Fact]) -> tuple[list[Fact], list[Fact]]:
    """Divide the facts of a train part into a tuning and a reporting set, each in their order.

    Raises:
        UsageError: One of the sets would be empty.
    """
    sets: dict[FactSet, list[Fact]] = {FactSet.TUNING: [], FactSet.REPORTING: []}
    for fact in facts:
        sets[fact_set_of(task, fact)].append(fact)
    tuning, reporting = sets.values()
    if not tuning or not reporting:
        subjects = len({fact.subject or fact.id for fact in facts})
        raise UsageError(
            f"task '{task.name}': {subjects} {'subject is' if subjects == 1 else 'subjects are'} "
            "too few to be divided into a tuning and a reporting set; give more facts, or one "
            "learning rate and no --tune"
        )
    return tuning, reporting
