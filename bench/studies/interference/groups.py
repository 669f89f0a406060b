"""Which facts are trained together: the measured facts in groups of K, the same facts for all K."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.errors import UsageError
from tasks.fact import Fact, hash_fraction


@dataclass(frozen=True)
class Group:
    """Facts that are trained together.

    Attributes:
        facts: All of them.
        measured: Those whose outcome counts; each measured fact counts in one group of a size.
    """

    facts: tuple[Fact, ...]
    measured: tuple[Fact, ...]


def divide(facts: Sequence[Fact], count: int, largest: int, task: str) -> int:
    """Return how many of the `facts` are measured: the first `count`, or all where fewer exist.

    Raises:
        UsageError: The `largest` group needs more facts than there are.
    """
    if len(facts) < largest:
        raise UsageError(
            f"--sizes {largest}: task '{task}' has {len(facts)} facts to train; "
            f"give sizes up to {len(facts)}"
        )
    return min(count, len(facts))


def groups_of(
    size: int, measured: Sequence[Fact], others: Sequence[Fact], seed: int
) -> tuple[Group, ...]:
    """Divide the measured facts into groups of one size, in a fixed order that a seed chooses.

    A group that they do not fill, the last or the only one, is filled up with other facts; with
    measured ones of other groups where the task has no more.

    Args:
        size: Facts in each group, at most as many as there are facts.
        measured: What is compared.
        others: Further facts of the task.
        seed: Chooses the order, hence the company of each fact.
    """
    order = sorted(measured, key=lambda fact: hash_fraction("interference", str(seed), fact.id))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    return tuple(_filled(part, (*others, *order), size) for part in parts)


def _filled(part: Sequence[Fact], spare: Sequence[Fact], size: int) -> Group:
    present = {fact.id for fact in part}
    fillers = [fact for fact in spare if fact.id not in present][: size - len(part)]
    return Group((*part, *fillers), tuple(part))
