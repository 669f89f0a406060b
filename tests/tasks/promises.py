"""What every task promises of its neighbours."""

from __future__ import annotations

from tasks.fact import FactPart
from tasks.scoring import normalise


def trained_neighbours(task, facts):
    """Return the neighbour questions that are also trained; empty when the promise holds."""
    trained = {normalise(f.question) for f in facts if task.part_of(f) is FactPart.TRAIN}
    asked = {n.question for fact in facts for n in fact.neighbours}
    return {question for question in asked if normalise(question) in trained}
