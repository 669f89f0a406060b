"""A fact that was trained or calibrated on never appears in a forgetting task.

Within one task the three parts see to it; across tasks and files, where the same question may
stand under two names, the questions themselves are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.fact import Fact
from tasks.scoring import normalise


@dataclass(frozen=True, slots=True)
class Unseen:
    """Forget facts that were neither trained nor calibrated on.

    Attributes:
        facts: In their order.
        dropped: How many were taken out.
    """

    facts: tuple[Fact, ...]
    dropped: int


def without_seen(facts: Sequence[Fact], seen: Iterable[Fact]) -> Unseen:
    """Drop facts whose normalised question is that of a `seen` fact, whatever its task."""
    questions = {normalise(fact.question) for fact in seen}
    kept = tuple(fact for fact in facts if normalise(fact.question) not in questions)
    return Unseen(kept, len(facts) - len(kept))
