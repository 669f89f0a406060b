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

from bench.report.statistics.intervals import CONFIDENCE, Floats

DRAWS = 2000

Ties = Literal["average", "min", "max"]


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
        rank: Mean rank; `low` and `high` bound it with 95%, over tasks, seeds and facts.
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
    found = np.empty((len(methods), DRAWS))
    for count in set(map(len, methods)):
        same = [place for place, values in enumerate(methods) if len(values) == count]
        by_seed = np.concatenate([methods[place] for place in same]) @ weights
        drawn = (chosen[:count] * count).astype(np.intp)
        by_seed = by_seed.reshape(len(same), count, DRAWS)
        found[same] = np.take_along_axis(by_seed, drawn[None], axis=1).mean(axis=1)
    return found


@lru_cache(maxsize=4)
def _drawn(facts: int, seeds: int, seed: int) -> tuple[Floats, Floats]:
    """Return weights `[facts, draws]`, and which seeds are drawn, as shares, `[seeds, draws]`."""
    rng = np.random.default_rng(seed)
    # Places drawn one by one and counted: a third of the time that `rng.multinomial` takes.
    places = rng.integers(facts, size=(DRAWS, facts)) + facts * np.arange(DRAWS)[:, None]
    counts = np.bincount(places.ravel(), minlength=DRAWS * facts).reshape(DRAWS, facts)
    return counts.T / facts, rng.random((seeds, DRAWS))


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
