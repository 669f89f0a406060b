"""Ranks as intervals, and how often a method beats the reference: a bootstrap over seeds and facts.

Every draw takes facts, and seeds of each method, with replacement, the same ones for all methods
where they have the same seeds; methods are ranked by their means, 1 is best. An interval reaches
from the best to the worst rank that ties allow, so methods that cannot be told apart overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.statistics import CONFIDENCE, Floats

DRAWS = 2000

Ties = Literal["average", "min", "max"]


@dataclass(frozen=True, slots=True)
class RankInterval:
    """The ranks a method may have, with 95 % confidence: from `low`, the best, to `high`."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Overall:
    """A method over all sections.

    Attributes:
        label: As its rows are labelled.
        rank: Mean rank; `low` and `high` bound it with 95 %, over tasks, seeds and facts.
        improvement: Share of draws in which it ranks before the reference, ties half.
    """

    label: str
    rank: float
    low: float
    high: float
    improvement: float | None


@dataclass(frozen=True, slots=True)
class OverallRanks:
    """Methods by mean rank, and those left out because some section has no result of theirs."""

    methods: tuple[Overall, ...]
    sections: int
    reference: str
    left_out: tuple[str, ...]


def bootstrap_means(methods: Sequence[Floats], seed: int = 0) -> Floats:
    """Return means `[methods, draws]` of values `[seeds, facts]`; facts are the same for all."""
    weights, chosen = _drawn(methods[0].shape[1], max(map(len, methods)), seed)
    return np.stack([_means(values @ weights, chosen) for values in methods])


@lru_cache(maxsize=4)
def _drawn(facts: int, seeds: int, seed: int) -> tuple[Floats, Floats]:
    """Return weights `[facts, draws]`, and which seeds are drawn, as shares, `[seeds, draws]`."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(facts, np.full(facts, 1 / facts), size=DRAWS).T / facts
    return weights, rng.random((seeds, DRAWS))


def _means(by_seed: Floats, chosen: Floats) -> Floats:
    """Average drawn seeds: `by_seed` `[seeds, draws]`, `chosen` `[at least seeds, draws]`."""
    count = len(by_seed)
    places = (chosen[:count] * count).astype(np.intp)
    return np.asarray(np.take_along_axis(by_seed, places, axis=0).mean(axis=0))


def rank_intervals(means: Floats) -> list[RankInterval]:
    """Return the interval of each method's rank, from bootstrap means `[methods, draws]`."""
    tail = (1 - CONFIDENCE) / 2
    best, worst = ranks(means, "min"), ranks(means, "max")
    low = np.quantile(best, tail, axis=1, method="inverted_cdf")
    high = np.quantile(worst, 1 - tail, axis=1, method="inverted_cdf")
    return [RankInterval(int(a), int(b)) for a, b in zip(low, high, strict=True)]


def ranks(means: Floats, ties: Ties) -> NDArray[np.float64]:
    """Return ranks `[methods, draws]`, 1 for the greatest mean; `ties` as pandas names them."""
    # Means that differ by rounding alone are ties.
    found = pd.DataFrame(np.round(means, 12)).rank(method=ties, ascending=False)
    return found.to_numpy(dtype=np.float64)


def improvement(means: Floats, reference: Floats) -> float:
    """Return the share of draws in which a method's mean exceeds the reference's; ties are half."""
    gap = np.round(means - reference, 12)
    return float(np.mean(gap > 0) + np.mean(gap == 0) / 2)
