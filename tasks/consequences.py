"""What follows from facts, put together with the other facts of a task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tasks.fact import Consequence, Fact
from tasks.scoring import exact_match, normalise


@dataclass(frozen=True, slots=True)
class Linked:
    """Facts whose consequences know which other facts they need.

    Attributes:
        facts: The facts, in order.
        contradicted: How many consequences were left out because a hop is trained with another
            answer, so that the one that they give would be wrong.
    """

    facts: tuple[Fact, ...]
    contradicted: int


def linked(facts: Iterable[Fact]) -> Linked:
    """Let each consequence need the facts whose questions are among its hops.

    Once all facts of a task are trained together, one may change what follows from another:
    MQuAKE-Remastered (ICLR 2025) found such contradictions in a third of the original.
    """
    given = tuple(facts)
    if not any(one.hops for fact in given for one in fact.consequences):
        return Linked(given, 0)
    trained = {normalise(fact.question): fact for fact in given}
    found = []
    left_out = 0
    for fact in given:
        kept = [one for one in fact.consequences if not _contradicted(one, trained)]
        left_out += len(fact.consequences) - len(kept)
        needing = tuple(replace(one, needs=_needs(one, fact, trained)) for one in kept)
        found.append(replace(fact, consequences=needing) if fact.consequences else fact)
    return Linked(tuple(found), left_out)


def _contradicted(one: Consequence, trained: dict[str, Fact]) -> bool:
    return any(
        not any(exact_match(answer, hop.answers) for answer in fact.answers)
        for hop in one.hops
        if (fact := trained.get(normalise(hop.question)))
    )


def _needs(one: Consequence, own: Fact, trained: dict[str, Fact]) -> tuple[str, ...]:
    behind = (trained.get(normalise(hop.question)) for hop in one.hops)
    return tuple(fact.id for fact in behind if fact is not None and fact is not own)
