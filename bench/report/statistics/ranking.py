"""Ranks as intervals, from which methods can be told apart from which.

Two methods are separated if Holm's correction over the rivals of either rejects that they are
equal. A method's rank is at best one more than the number of methods separated above it, and at
worst as many as there are, less those separated below it. Of five methods that do not differ, the
first or the last rank is excluded for at most 5%, and a rank cannot contradict a comparison with
the reference, which is one of these pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.report.statistics.comparison import LEVEL, holm
from bench.report.statistics.intervals import Floats


@dataclass(frozen=True, slots=True)
class RankInterval:
    """The ranks a method may have, with 95% confidence: from `low`, the best, to `high`."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Overall:
    """A method over all sections.

    Attributes:
        label: As its rows are labelled.
        rank: The mean of its ranks by the mean in each section; it describes these means only.
        possible: The ranks it may have by the mean over all sections; None where it may have any.
    """

    label: str
    rank: float
    possible: RankInterval | None


@dataclass(frozen=True, slots=True)
class OverallRanks:
    """Methods over all sections, and those left out because some section cannot rank them."""

    methods: tuple[Overall, ...]
    sections: int
    left_out: tuple[str, ...]


def rank_intervals(ps: Floats, better: Floats) -> list[RankInterval | None]:
    """Return the interval of each method's rank; None where it spans all ranks.

    Args:
        ps: The p of no difference of each pair `[methods, methods]`; NaN where none was tested, as
            between a method and itself.
        better: By how much the method of the line is better than that of the column, of the same
            shape; only signs count.
    """
    apart = separated(ps)
    count = len(ps)
    above = np.sum(apart & (better < 0), axis=1).tolist()
    below = np.sum(apart & (better > 0), axis=1).tolist()
    return [
        RankInterval(1 + up, count - down) if up or down else None
        for up, down in zip(above, below, strict=True)
    ]


def separated(ps: Floats) -> NDArray[np.bool_]:
    """Return which pairs Holm's correction tells apart in the families of both, `ps.shape`."""
    rejected = np.zeros(ps.shape, dtype=np.bool_)
    for line, rivals in enumerate(ps):
        tested = np.flatnonzero(~np.isnan(rivals))
        rejected[line, tested] = np.array(holm(rivals[tested])) <= LEVEL
    return rejected & rejected.T


def mean_ranks(means: Floats) -> Floats:
    """Return the mean rank `[methods]` over sections, 1 is best; ties share a rank.

    Args:
        means: `[sections, methods]`, more is better.
    """
    # Means that differ by rounding alone are ties.
    rounded = np.round(means, 12)
    before = (rounded[:, None, :] > rounded[:, :, None]).sum(axis=2)
    ties = (rounded[:, None, :] == rounded[:, :, None]).sum(axis=2)
    return np.asarray((before + (ties + 1) / 2).mean(axis=0))
