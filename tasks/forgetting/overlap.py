"""Keeps facts that were trained or calibrated on out of forgetting tasks.

Within a task, the three parts are disjoint. Across tasks and files, where the same question may
occur twice, the questions themselves are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.fact import Fact
from tasks.scoring import normalise


@dataclass(frozen=True, slots=True)
class Unseen:
    """Facts of a forgetting task that were neither trained nor calibrated on.

    Attributes:
        facts: These facts, in order.
        dropped: How many others were left out.
    """

    facts: tuple[Fact, ...]
    dropped: int


def without_seen(facts: Sequence[Fact], seen: Iterable[Fact]) -> Unseen:
    """Leave out facts whose normalised question is also that of a `seen` fact of any task."""
    questions = {normalise(fact.question) for fact in seen}
    kept = tuple(fact for fact in facts if normalise(fact.question) not in questions)
    return Unseen(kept, len(facts) - len(kept))
