"""Howe's interval for means of values of crossed seeds and facts, and the p that belongs to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

CONFIDENCE = 0.95

Floats = NDArray[np.float64]

_LEAST_P = 1e-200
_HALVINGS = 44
"""Leave 3e-11 of the logarithm of the least p; far below it quantiles overflow."""

_DIGITS = 9
"""Significant digits of a p that its halvings resolve."""

_ROUNDING = 1e-12
"""Seeds' means that differ by less, relative to the values, agree exactly."""


def seeds_agree(values: Floats) -> NDArray[np.bool_]:
    """Return whether the means of all seeds of `values` `[..., seeds, facts]` are the same."""
    means = values.mean(axis=-1)
    # The same values in another order add up to another last digit.
    size = np.sqrt((values**2).mean(axis=(-2, -1)))
    return np.asarray(np.ptp(means, axis=-1) <= _ROUNDING * size)


def resolved(values: Floats, digits: int) -> Floats:
    """Round values `[...]` to significant digits that are the same on every processor.

    Sums and powers have other last digits where vectors have another length.
    """
    found = [float(f"{value:.{digits}g}") for value in values.flat]
    return np.asarray(found, dtype=np.float64).reshape(values.shape)


def miss_that_reaches(half_width: Callable[[Floats], Floats], distance: Floats) -> Floats:
    """Return the `miss` `[...]` at which half an interval's width is `distance`.

    It is found by halving in its logarithm.

    Args:
        half_width: Half the width of intervals that miss with these probabilities, `[...]`.
        distance: Not negative, `[...]`.
    """
    low = np.full_like(distance, math.log(_LEAST_P), dtype=np.float64)
    high = np.zeros_like(low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = half_width(np.exp(middle)) <= distance
        low, high = np.where(short, low, middle), np.where(short, middle, high)
    return resolved(np.exp(high), _DIGITS)


@dataclass(frozen=True, slots=True)
class Crossed:
    """The mean of values of crossed seeds and facts, and its mean squares.

    With s, f and e the mean squares over seeds, over facts and of the rest, the variance of the
    mean is (s + f - e) / (seeds * facts). Howe (1974) bounds such sums: each part is taken with
    the squared quantile of its own degrees of freedom. Few seeds then cost width only as far as
    seeds differ; facts add theirs only where they differ more than chance.

    Attributes:
        mean, over_seeds, over_facts, rest: `[...]`, one per layout.
        seeds, facts: How many, both at least two; one number for all layouts, or `[...]`.
    """

    mean: Floats
    over_seeds: Floats
    over_facts: Floats
    rest: Floats
    seeds: int | NDArray[np.intp]
    facts: int | NDArray[np.intp]

    @classmethod
    def of(cls, values: Floats) -> Crossed:
        """Take `[..., seeds, facts]` apart."""
        seeds, facts = values.shape[-2:]
        mean = np.asarray(values.mean(axis=(-2, -1)))
        by_seed, by_fact = values.mean(axis=-1), values.mean(axis=-2)
        rest = values - by_seed[..., None] - by_fact[..., None, :] + mean[..., None, None]
        over_seeds = facts * by_seed.var(axis=-1, ddof=1)
        return cls(
            mean=mean,
            over_seeds=np.where(seeds_agree(values), 0.0, over_seeds),
            over_facts=np.asarray(seeds * by_fact.var(axis=-1, ddof=1)),
            rest=np.asarray((rest**2).sum(axis=(-2, -1)) / ((seeds - 1) * (facts - 1))),
            seeds=seeds,
            facts=facts,
        )

    @classmethod
    def joined(cls, some: Sequence[Crossed]) -> Crossed:
        """Put layouts of several numbers of seeds and facts in one row."""
        sizes = [one.mean.size for one in some]
        return cls(
            mean=np.concatenate([one.mean for one in some]),
            over_seeds=np.concatenate([one.over_seeds for one in some]),
            over_facts=np.concatenate([one.over_facts for one in some]),
            rest=np.concatenate([one.rest for one in some]),
            seeds=np.repeat([one.seeds for one in some], sizes),
            facts=np.repeat([one.facts for one in some], sizes),
        )

    def half_width(self, miss: float | Floats = 1 - CONFIDENCE) -> Floats:
        """Return half the width `[...]` of the interval that misses with probability `miss`."""
        for_seeds, for_facts = (
            special.stdtrit(freedom, miss / 2) ** 2 for freedom in (self.seeds - 1, self.facts - 1)
        )
        # Seeds that agree exactly say nothing of the rest, which is then left to the facts.
        agreed = self.over_seeds == 0
        facts_alone = np.where(agreed, self.over_facts, self.over_facts - self.rest)
        squared = for_seeds * self.over_seeds + for_facts * np.maximum(facts_alone, 0)
        return np.asarray(np.sqrt(squared / (self.seeds * self.facts)))

    def p(self) -> Floats:
        """Return the p `[...]` of no effect, at which each interval just reaches 0."""
        distance = np.abs(self.mean)
        return np.where(distance == 0, 1.0, miss_that_reaches(self.half_width, distance))
