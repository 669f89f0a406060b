"""The rank at which low-rank adapters on some weights have as many numbers as on others."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from methods.notes import Notes, note


@dataclass(frozen=True)
class SpreadNotes(Notes):
    """The rank with which as many numbers are trained as by an adapter in all layers."""

    spread_rank: int | None = note("rank")


def size_of_rank(sides: Iterable[tuple[int, int]], rank: int) -> int:
    """Return how many numbers A and B have together, on weights of these sides."""
    return sum(min(rank, *pair) * sum(pair) for pair in sides)


def rank_of_size(sides: Sequence[tuple[int, int]], size: int) -> int:
    """Return the rank whose A and B come nearest to a size, at least 1; the lower one of equals.

    Args:
        sides: d_out and d_in of each weight.
        size: How many numbers they should have.
    """
    most = max(min(pair) for pair in sides)
    above = bisect_left(range(1, most), size, key=lambda rank: size_of_rank(sides, rank)) + 1
    return min(max(1, above - 1), above, key=lambda rank: abs(size_of_rank(sides, rank) - size))
