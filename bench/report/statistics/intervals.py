"""Intervals at 95%, by how many seeds there are; every estimate says which kind it carries.

Seeds and facts are both drawn at random: intervals are about other seeds and other facts of a kind.

One seed: over facts alone, "facts only", which says nothing about other seeds: Wilson's interval
for a share, Student's for other means. Nothing is decided by it.
Two seeds or more: Howe's interval for a crossed layout, see `Crossed`; two seeds decide nothing,
since they say too little about their own spread. Where seeds have different items, Student's
interval over the per-seed means.

The half-width of a share becomes score ends, see `score_ends`. In simulation (3, 5 and 8 seeds, 64
to 512 facts, true shares from 0.3 to 0.99, seeds that move all facts by 0 to 0.7 logits) they cover
92 to 99%; symmetric ends, cut at 0 and 1, cover 85 to 100%.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import special

from bench.report.statistics.crossed import CONFIDENCE as CONFIDENCE
from bench.report.statistics.crossed import Crossed as Crossed
from bench.report.statistics.crossed import Floats as Floats
from bench.report.statistics.crossed import seeds_agree

SHARE = (0.0, 1.0)
DIFFERENCE = (-1.0, 1.0)
NON_NEGATIVE = (0.0, float("inf"))
UNBOUNDED = (float("-inf"), float("inf"))

DECIDING_SEEDS = 3
"""With fewer seeds values are shown, but nothing is tested, marked or ranked."""

FEWEST_ITEMS = 5
"""A mean over fewer facts or items is not shown and not tested."""

_FLOORED = 64
"""With fewer facts a share's interval is never narrower than Wilson's, at any number of seeds."""

Bounds = tuple[float, float]


class IntervalKind(StrEnum):
    """What an interval covers, in the words that tables show."""

    NONE = "none"
    FACTS = "facts only"
    TWO_SEEDS = "two seeds and facts"
    SEEDS_AND_FACTS = "seeds and facts"
    SEEDS = "t over seeds"

    @classmethod
    def of(cls, seeds: int) -> IntervalKind:
        """Return the kind of a mean over seeds that have the same facts."""
        kinds = (cls.NONE, cls.FACTS, cls.TWO_SEEDS)
        return kinds[seeds] if seeds < len(kinds) else cls.SEEDS_AND_FACTS


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95% interval; `low` and `high` in the unit of what they bound."""

    low: float
    high: float
    kind: IntervalKind


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds with its interval, where there is enough to compute one.

    Attributes:
        value: The mean.
        interval: Its 95% interval.
        items: Over how many facts or items it is, in the seed that has fewest; None if unknown.
    """

    value: float
    interval: Interval | None = None
    items: int | None = None

    @property
    def is_of_enough(self) -> bool:
        """Whether it may be shown: a mean over four facts or fewer is as good as missing."""
        return self.items is None or self.items >= FEWEST_ITEMS


@dataclass(frozen=True, slots=True)
class Sample:
    """What a mean is estimated from.

    Attributes:
        per_seed: `[seeds]`, the recorded means.
        items: One array `[facts]` per seed, in the same order of facts; empty where unknown.
            None where no interval is wanted.
        bounds: The least and the greatest value the mean can take.
        same_facts: Whether the items of all seeds are of the same facts, which as many need not be.
        jackknifed: Whether items are jackknife values of what is no mean over facts.
    """

    per_seed: Sequence[float]
    items: Sequence[Floats] | None
    bounds: Bounds
    same_facts: bool = True
    jackknifed: bool = False

    @property
    def is_crossed(self) -> bool:
        """Whether all seeds have the same facts, at least one."""
        if self.items is None or (len(self.per_seed) > 1 and not self.same_facts):
            return False
        sizes = {len(values) for values in self.items}
        return len(self.items) == len(self.per_seed) and len(sizes) == 1 and sizes != {0}

    @property
    def fewest(self) -> int | None:
        """The number of items in the seed that has fewest; None where unknown."""
        sizes = [len(values) for values in self.items or ()]
        return min(sizes) if sizes and any(sizes) else None


def estimate(
    per_seed: Sequence[float],
    items: Sequence[Floats],
    bounds: Bounds,
    *,
    same_facts: bool = True,
) -> Estimate | None:
    """Estimate a mean; None without any seed.

    Args:
        per_seed: As in `Sample`, like the others.
        items: Of each seed.
        bounds: Of the mean.
        same_facts: Whether the items of all seeds are of the same facts.
    """
    return estimates([Sample(per_seed, items, bounds, same_facts)])[0]


def estimates(samples: Sequence[Sample]) -> list[Estimate | None]:
    """Estimate many means; those with as many seeds and facts together, which saves most time."""
    found: list[Interval | None] = [None] * len(samples)
    layouts: dict[tuple[int, int, bool, bool], list[int]] = {}
    for place, sample in enumerate(samples):
        if sample.items and sample.is_crossed:
            kind = (sample.bounds == SHARE, sample.jackknifed)
            layout = (len(sample.items), len(sample.items[0]), *kind)
            layouts.setdefault(layout, []).append(place)
        elif sample.items is not None and len(sample.per_seed) >= DECIDING_SEEDS:
            found[place] = _over_seeds(sample)
    for (_, _, are_shares, jackknifed), places in layouts.items():
        values = np.array([samples[place].items for place in places], dtype=np.float64)
        together = crossed_intervals(values, are_shares=are_shares, jackknifed=jackknifed)
        for place, interval in zip(places, together, strict=True):
            found[place] = interval
    return [_within_bounds(*pair) for pair in zip(samples, found, strict=True)]


def _within_bounds(sample: Sample, interval: Interval | None) -> Estimate | None:
    if not sample.per_seed:
        return None
    value = sum(sample.per_seed) / len(sample.per_seed)
    if interval is None:
        return Estimate(value, items=sample.fewest)
    least, greatest = sample.bounds
    low, high = (min(max(end, least), greatest) for end in (interval.low, interval.high))
    return Estimate(value, Interval(low, high, interval.kind), sample.fewest)


def crossed_intervals(
    values: Floats, *, are_shares: bool = False, jackknifed: bool = False
) -> list[Interval | None]:
    """Return the intervals of the means of `values` `[means, seeds, facts]`.

    None for the mean of one fact, which says nothing about others, unless it is a share.

    Args:
        values: Of the same facts in every seed.
        are_shares: Whether the means are shares, whose ends are `score_ends`.
        jackknifed: Whether values are jackknife values, as in `Sample`.
    """
    seeds, facts = values.shape[1:]
    if facts == 1 and not are_shares:
        return [None] * len(values)
    mean, half = values.mean(axis=(1, 2)), half_widths(values)
    low, high = mean - half, mean + half
    if are_shares:
        low, high = score_ends(mean, half, facts, seeds, own_width=jackknifed)
    # Seeds that agree exactly carry no spread of their own: what is left are the facts.
    agree = seeds_agree(values).tolist()
    kinds = (IntervalKind.of(1 if alike else seeds) for alike in agree)
    return [Interval(*ends) for ends in zip(low.tolist(), high.tolist(), kinds, strict=True)]


def half_widths(values: Floats) -> Floats:
    """Return half the width `[...]` of the intervals of means of `values` `[..., seeds, facts]`.

    Howe's; with one seed Student's over facts, and 0 with one fact.
    """
    seeds, facts = values.shape[-2:]
    if facts == 1:
        return np.zeros(values.shape[:-2])
    if seeds > 1:
        return Crossed.of(values).half_width()
    quantile = special.stdtrit(facts - 1, (1 + CONFIDENCE) / 2)
    return np.asarray(quantile * values[..., 0, :].std(axis=-1, ddof=1) / np.sqrt(facts))


def score_ends(
    mean: Floats, half_width: Floats, facts: int, seeds: int, *, own_width: bool = False
) -> tuple[Floats, Floats]:
    """Turn half a width into the ends of a score interval, which near 0 and 1 is not symmetric.

    Wilson's interval solves (m - p)^2 = K p (1 - p) for the true share p, with K = z^2 / facts.
    Here K = h^2 / (m (1 - m)), so that p's own variance takes the place of the mean's. Where that
    says nothing (all right or all wrong), with one seed, and as a floor for few facts, K is
    Wilson's.

    Args:
        mean: Shares m `[...]`.
        half_width: Half the width h `[...]` of their symmetric intervals.
        facts: How many facts each is a mean over.
        seeds: How many seeds.
        own_width: Whether half the width is meant with one seed too: Wilson's is that of a share
            of facts, and an area under a curve has another.
    """
    own = special.ndtri((1 + CONFIDENCE) / 2) ** 2 / facts
    variance = np.maximum(mean * (1 - mean), 0)
    known = (variance > 0) & (half_width > 0) & (own_width or seeds > 1)
    k = np.divide(half_width**2, variance, out=np.full_like(variance, own), where=known)
    k = np.maximum(k, own) if facts < _FLOORED else k
    root = np.sqrt(k * variance + k**2 / 4)
    return (mean + k / 2 - root) / (1 + k), (mean + k / 2 + root) / (1 + k)


def wilson(correct: float, n: int) -> Interval:
    """Return Wilson's score interval of a share of `n` facts of one seed.

    Args:
        correct: How many are right; it may be fractional, where a fact can be right in part.
        n: How many facts there are, at least one.
    """
    low, high = score_ends(np.array(correct / n), np.array(0.0), n, seeds=1)
    return Interval(float(low), float(high), IntervalKind.FACTS)


def t_interval(per_seed: Sequence[float]) -> Interval:
    """Return Student's interval of the mean of at least two per-seed means."""
    mean, error = np.mean(per_seed), np.std(per_seed, ddof=1) / np.sqrt(len(per_seed))
    half = special.stdtrit(len(per_seed) - 1, (1 + CONFIDENCE) / 2) * error
    return Interval(float(mean - half), float(mean + half), IntervalKind.SEEDS)


def _over_seeds(sample: Sample) -> Interval:
    """Return the interval of a mean whose seeds have different items, such as wrong answers."""
    found = t_interval(sample.per_seed)
    if sample.bounds != SHARE or not sample.fewest:
        return found
    mean, half = np.mean(sample.per_seed), (found.high - found.low) / 2
    seeds = len(sample.per_seed)
    low, high = score_ends(np.asarray(mean), np.asarray(half), sample.fewest, seeds)
    return Interval(float(low), float(high), IntervalKind.SEEDS)
