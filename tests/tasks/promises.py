"""What every task promises of its neighbours."""

from __future__ import annotations

from tasks.fact import FactPart


def trained_neighbours(task, facts):
    """Return the neighbour questions that are also trained; empty when the promise holds."""
    trained = {fact.question for fact in facts if task.part_of(fact) is FactPart.TRAIN}
    return {n.question for fact in facts for n in fact.neighbours} & trained
