"""Wrong answers for scoring a fact as multiple choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tasks.fact import Fact, hash_fraction
from tasks.scoring import normalise

CHOICES = 4
NEAREST_NUMBERS = 12
"""Wrong numbers are drawn from this many nearest ones."""


def with_choices(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """Give every fact four choices: its answer, and three answers to the same relation.

    Their order is that of a fixed hash. To make guessing from the letters alone hard, wrong texts
    begin with the same letter as the right one if possible, and wrong numbers are close to it.
    """
    pools: dict[str, list[str]] = {}
    for fact in facts:
        pools.setdefault(fact.relation, []).append(fact.target)
    return tuple(replace(fact, choices=_choices(fact, pools[fact.relation])) for fact in facts)


def _choices(fact: Fact, pool: Sequence[str]) -> tuple[str, ...]:
    right = {normalise(answer) for answer in fact.answers}
    wrong = [answer for answer in dict.fromkeys(pool) if normalise(answer) not in right]
    chosen = [fact.target, *_plausible(fact, wrong)[: CHOICES - 1]]
    return tuple(sorted(chosen, key=lambda answer: hash_fraction("place", fact.id, answer)))


def _plausible(fact: Fact, wrong: list[str]) -> list[str]:
    """Sort wrong answers so that the first are the most plausible, ties by a fixed hash."""
    if fact.target.isdecimal():
        wrong = sorted(wrong, key=lambda answer: abs(int(answer) - int(fact.target)))
        wrong = wrong[:NEAREST_NUMBERS]

    def order(answer: str) -> tuple[bool, float]:
        alike = fact.target.isdecimal() or answer[0] == fact.target[0]
        return not alike, hash_fraction("distractor", fact.id, answer)

    return sorted(wrong, key=order)
