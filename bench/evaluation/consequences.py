"""What is asked of the consequences of facts, and whether it was answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from tasks.fact import Consequence, Fact
from tasks.scoring import exact_match


class Followed(NamedTuple):
    """What one model answered of one consequence of a fact, on the trained prompt.

    Attributes:
        right: Whether one of its phrasings was answered correctly.
        hops: Whether every single question behind it was; None where none is known.
    """

    right: bool
    hops: bool | None


def _expected(facts: Sequence[Fact]) -> list[list[Consequence | None]]:
    """Return the consequences of each fact, None for those that need a fact which is not there."""
    there = {fact.id for fact in facts}
    return [
        [one if there.issuperset(one.needs) else None for one in fact.consequences]
        for fact in facts
    ]


def asked_of_consequences(facts: Sequence[Fact]) -> list[str]:
    """Return what is asked to judge consequences: all phrasings, and the hops behind them."""
    expected = [one for found in _expected(facts) for one in found if one is not None]
    return [
        text for one in expected for text in (*one.phrasings, *(hop.question for hop in one.hops))
    ]


def followed(
    facts: Sequence[Fact], said: Mapping[str, str]
) -> tuple[tuple[Followed | None, ...], ...]:
    """Judge the answers to consequences and to the single questions behind them.

    Args:
        facts: The facts that were asked.
        said: The answer to each question of `asked_of_consequences`.

    Returns:
        See `Responses.consequences`.
    """

    def judged(one: Consequence) -> Followed:
        right = any(exact_match(said[text], one.answers) for text in one.phrasings)
        hops = [exact_match(said[hop.question], hop.answers) for hop in one.hops]
        return Followed(right, all(hops) if hops else None)

    if not any(fact.consequences for fact in facts):
        return ()
    return tuple(
        tuple(None if one is None else judged(one) for one in found) for found in _expected(facts)
    )


def of_trained(
    facts: Sequence[Fact],
    said: Sequence[tuple[Followed | None, ...]],
    left_out: AbstractSet[str],
) -> list[tuple[Followed | None, ...]]:
    """Return what was answered of consequences, None for those that need a fact not trained.

    Which facts a filter leaves out is known only after the base was asked about all of them.

    Args:
        facts: The facts that were asked.
        said: What was answered of the consequences of each, see `Responses.consequences`.
        left_out: The ids of facts that were asked and not trained.
    """
    if not left_out:
        return list(said)
    return [
        tuple(
            found if left_out.isdisjoint(one.needs) else None
            for one, found in zip(fact.consequences, of_fact, strict=bool(of_fact))
        )
        for fact, of_fact in zip(facts, said, strict=True)
    ]
