"""Methods against a reference method, paired by seed and by fact; ties stay ties.

For each fact and seed that both have, the reference's value is subtracted from the method's. One
seed: McNemar's exact test where facts are right or wrong, else Student's paired test, both over
facts only. More seeds: the test that belongs to the interval in `intervals`. Holm's correction is
over the methods of a section, for each metric separately.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from itertools import chain

import numpy as np
from scipy import special

from bench.report.statistics.intervals import (
    CONFIDENCE,
    UNBOUNDED,
    Bounds,
    Crossed,
    Estimate,
    Floats,
    Interval,
    IntervalKind,
    Sample,
    added_variances,
    estimates,
)

LEVEL = 1 - CONFIDENCE
_LEAST_P = 1e-300
_HALVINGS = 44
"""Leave 4e-11 of the logarithm of the least p."""


class Verdict(StrEnum):
    """How a method differs from the reference after Holm's correction."""

    BETTER = "better"
    WORSE = "worse"
    TIE = "tie"


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one method.

    Attributes:
        by_seed: Values `[facts]`, or of items, of each seed that is done.
        bounds: The least and the greatest value of the difference of two means.
        more_is_better: Whether a higher value is better.
        items: What was measured, per seed; values of other items are not paired.
    """

    by_seed: Mapping[int, Floats]
    bounds: Bounds = UNBOUNDED
    more_is_better: bool = True
    items: Mapping[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A method's mean paired difference to the reference.

    Attributes:
        difference: Method minus reference, in the unit of the metric.
        p: The p-value of no difference; None where there is too little to test.
        p_holm: The same after Holm's correction over the methods of the section.
        seeds: The seeds that both have; only these are compared.
        more_is_better: Whether a higher value of the metric is better.
    """

    difference: Estimate
    p: float | None
    p_holm: float | None
    seeds: tuple[int, ...]
    more_is_better: bool = True

    @property
    def verdict(self) -> Verdict:
        """Better or worse where the corrected test says so, else a tie."""
        if self.p_holm is None or self.p_holm > LEVEL:
            return Verdict.TIE
        more = self.difference.value > 0
        return Verdict.BETTER if more is self.more_is_better else Verdict.WORSE


def compare_all(pairs: Sequence[tuple[Measured, Measured]]) -> list[Comparison | None]:
    """Compare methods, each with its reference, in the seeds and facts that both have.

    None for a pair that shares none. Together they take a fraction of the time.
    """
    by_seed = [_differences(method, reference) for method, reference in pairs]
    samples = [
        Sample(_means(list(found.values())), list(found.values()), method.bounds)
        for (method, _), found in zip(pairs, by_seed, strict=True)
    ]
    same = [sample.is_crossed for sample in samples]
    layouts = [np.array(s.items) for s, crossed in zip(samples, same, strict=True) if crossed]
    ps = iter(p_values(layouts))
    return [
        Comparison(
            difference=_with_width(difference, method, reference, sample),
            p=next(ps) if crossed else None,
            p_holm=None,
            seeds=tuple(found),
            more_is_better=method.more_is_better,
        )
        if difference is not None
        else None
        for (method, reference), found, sample, crossed, difference in zip(
            pairs, by_seed, samples, same, estimates(samples), strict=True
        )
    ]


def _means(values: Sequence[Floats]) -> list[float]:
    return [float(np.add.reduce(found)) / len(found) for found in values]


def _differences(method: Measured, reference: Measured) -> dict[int, Floats]:
    """Return method minus reference `[facts]` of each seed that both have."""
    return {
        seed: method.by_seed[seed] - reference.by_seed[seed]
        for seed in sorted(method.by_seed)
        if _paired(method, reference, seed)
    }


def _paired(method: Measured, reference: Measured, seed: int) -> bool:
    one, other = method.by_seed.get(seed), reference.by_seed.get(seed)
    if one is None or other is None or len(one) != len(other) or not len(one):
        return False
    if method.items is None or reference.items is None:
        return True
    return method.items[seed] == reference.items[seed]


def _right_or_wrong(measured: Measured) -> bool:
    return all(((values == 0) | (values == 1)).all() for values in measured.by_seed.values())


def _with_width(
    difference: Estimate, method: Measured, reference: Measured, sample: Sample
) -> Estimate:
    """Give answers that nowhere differ an interval: facts that were not asked might."""
    assert sample.items
    first = sample.items[0]
    nowhere = sample.is_crossed and all((values == first[0]).all() for values in sample.items)
    if nowhere and _right_or_wrong(method) and _right_or_wrong(reference):
        return replace(difference, interval=bonett_price(first))
    return difference


def bonett_price(differences: Floats) -> Interval:
    """Return Bonett and Price's interval (2012) of the mean of -1, 0 and 1, `[facts]`.

    Wald's with one fact added where only the one is right and one where only the other is.
    """
    n = len(differences) + 2
    more, less = (np.sum(differences == sign) + 1 for sign in (1, -1))
    mean = (more - less) / n
    error = np.sqrt(((more + less) / n - mean**2) / n)
    half = special.ndtri((1 + CONFIDENCE) / 2) * error
    low, high = np.clip([mean - half, mean + half], -1, 1)
    return Interval(float(low), float(high), IntervalKind.FACTS)


def p_value(differences: Floats) -> float:
    """Return the probability of a mean as far from 0 or farther, were there no difference.

    Args:
        differences: `[seeds, facts]`.
    """
    return p_values([differences])[0]


def p_values(layouts: Sequence[Floats]) -> list[float]:
    """Return `p_value` of each layout; those of three seeds or more of one shape together."""
    found = [math.nan] * len(layouts)
    shapes: dict[tuple[int, ...], list[int]] = {}
    for place, differences in enumerate(layouts):
        seeds, facts = differences.shape
        if seeds > 2 and facts > 1 and np.ptp(differences.mean(axis=1)) > 0:
            shapes.setdefault(differences.shape, []).append(place)
        else:
            found[place] = _of_few(differences)
    together = [
        Crossed.of(np.array([layouts[place] for place in places])) for places in shapes.values()
    ]
    if together:
        ps = _crossed(Crossed.joined(together)).tolist()
        for place, p in zip(chain.from_iterable(shapes.values()), ps, strict=True):
            found[place] = p
    return found


def _of_few(differences: Floats) -> float:
    """Return p where seeds agree or are two, or where there is one fact."""
    means = differences.mean(axis=1)
    if np.ptp(means) == 0:
        values = differences.mean(axis=0)
        signs = ((values == 0) | (np.abs(values) == 1)).all() or (values == values[0]).all()
        return mcnemar(values) if signs else _students(values)
    if len(differences) == 2:
        error, freedom = added_variances(differences)
        return float(2 * special.stdtr(freedom, -abs(means.mean()) / error))
    return _students(means)


def _students(values: Floats) -> float:
    """Return p of Student's test that the mean of `values` is 0."""
    error = values.std(ddof=1) / math.sqrt(len(values))
    return float(2 * special.stdtr(len(values) - 1, -abs(values.mean()) / error))


def mcnemar(differences: Floats) -> float:
    """Return McNemar's exact p of the signs of `differences` `[facts]`; 1 where none differ."""
    return _sign_test(int(np.sum(differences > 0)), int(np.sum(differences < 0)))


@lru_cache(maxsize=4096)
def _sign_test(more: int, less: int) -> float:
    from scipy import stats  # takes most of a second, and only grids of one seed need it

    return float(stats.binomtest(more, more + less).pvalue) if more + less else 1.0


def _crossed(found: Crossed) -> Floats:
    """Return the p `[...]` at which each interval just reaches 0, by halving in its logarithm."""
    mean = np.abs(found.mean)
    low, high = np.full_like(mean, math.log(_LEAST_P)), np.zeros_like(mean)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = found.half_width(np.exp(middle)) <= mean
        low, high = np.where(short, low, middle), np.where(short, middle, high)
    return np.where(mean == 0, 1.0, np.exp(high))


def corrected(found: Sequence[Comparison | None]) -> list[Comparison | None]:
    """Apply Holm's correction to the comparisons of one metric with one reference."""
    tested = [(place, c.p) for place, c in enumerate(found) if c is not None and c.p is not None]
    places = [place for place, _ in tested]
    adjusted = dict(zip(places, holm(np.array([p for _, p in tested])), strict=True))
    return [
        replace(c, p_holm=adjusted.get(place)) if c is not None else None
        for place, c in enumerate(found)
    ]


def holm(ps: Floats) -> list[float]:
    """Return Holm's step-down adjusted p-values `[tests]`."""
    order = np.argsort(ps, kind="stable")
    steps = np.maximum.accumulate(ps[order] * np.arange(len(ps), 0, -1))
    adjusted = np.empty_like(ps)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(p) for p in adjusted]
