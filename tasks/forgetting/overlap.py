"""Keeps facts that were trained or calibrated on out of forgetting tasks.

Within a task, the three parts are disjoint. Across tasks and files, where the same question may
occur twice, the questions themselves are compared, in normal form.
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
    """Leave out facts whose question a `seen` fact of any task asks, or has as a paraphrase."""
    known = {normalise(text) for fact in seen for text in (fact.question, *fact.paraphrases)}
    kept = tuple(fact for fact in facts if normalise(fact.question) not in known)
    return Unseen(kept, len(facts) - len(kept))
