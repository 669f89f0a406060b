"""Methods against a reference method, paired by seed and by fact; ties stay ties.

Of each fact and seed that both have, the reference's value is taken from the method's. One seed:
McNemar's exact test where facts are right or wrong, else Student's paired test, both over facts
only. More seeds: the test that belongs to the interval of `statistics`. Holm's correction is over
the methods of a section, for each metric apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy import optimize, stats

from bench.report.statistics import (
    CONFIDENCE,
    UNBOUNDED,
    Bounds,
    Crossed,
    Estimate,
    Floats,
    Interval,
    IntervalKind,
    added_variances,
    estimate,
)

LEVEL = 1 - CONFIDENCE
_LEAST_P = 1e-300


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
        more_is_better: Its direction.
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
        p: Of no difference; None where there is too little to test.
        p_holm: Corrected over the methods of the section.
        seeds: Those that both have; only they are compared.
        more_is_better: The metric's direction.
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


def compare(method: Measured, reference: Measured) -> Comparison | None:
    """Compare two methods in the seeds and facts that both have; None where there are none."""
    seeds = tuple(seed for seed in sorted(method.by_seed) if _paired(method, reference, seed))
    if not seeds:
        return None
    differences = [method.by_seed[seed] - reference.by_seed[seed] for seed in seeds]
    means = [float(values.mean()) for values in differences]
    difference = estimate(means, differences, method.bounds)
    assert difference is not None
    if _right_or_wrong(method) and _right_or_wrong(reference):
        difference = _with_width(difference, differences)
    same = len({len(values) for values in differences}) == 1
    p = p_value(np.stack(differences)) if same else None
    return Comparison(difference, p, None, seeds, method.more_is_better)


def _paired(method: Measured, reference: Measured, seed: int) -> bool:
    one, other = method.by_seed.get(seed), reference.by_seed.get(seed)
    if one is None or other is None or len(one) != len(other) or not len(one):
        return False
    if method.items is None or reference.items is None:
        return True
    return method.items[seed] == reference.items[seed]


def _right_or_wrong(measured: Measured) -> bool:
    return all(np.isin(values, (0.0, 1.0)).all() for values in measured.by_seed.values())


def _with_width(difference: Estimate, differences: Sequence[Floats]) -> Estimate:
    """Give answers that nowhere differ an interval: facts that were not asked might."""
    found = np.stack(differences) if len({len(d) for d in differences}) == 1 else None
    if found is None or np.ptp(found) > 0:
        return difference
    return replace(difference, interval=bonett_price(found[0]))


def bonett_price(differences: Floats) -> Interval:
    """Return Bonett and Price's interval (2012) of the mean of -1, 0 and 1, `[facts]`.

    Wald's with one fact added where only the one is right and one where only the other is.
    """
    n = len(differences) + 2
    more, less = (np.sum(differences == sign) + 1 for sign in (1, -1))
    mean = (more - less) / n
    error = np.sqrt(((more + less) / n - mean**2) / n)
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * error
    low, high = np.clip([mean - half, mean + half], -1, 1)
    return Interval(float(low), float(high), IntervalKind.FACTS)


def p_value(differences: Floats) -> float | None:
    """Return the probability of a mean as far from 0 or farther, were there no difference.

    Args:
        differences: `[seeds, facts]`.
    """
    means = differences.mean(axis=1)
    if np.ptp(means) == 0:
        return _over_facts(differences.mean(axis=0))
    if len(differences) == 2:
        error, freedom = added_variances(differences)
        return float(2 * stats.t.sf(abs(means.mean()) / error, freedom))
    if differences.shape[1] == 1:
        return float(stats.ttest_1samp(means, 0.0).pvalue)
    return _crossed(Crossed.of(differences))


def _over_facts(values: Floats) -> float | None:
    if np.isin(values, (-1.0, 0.0, 1.0)).all() or np.ptp(values) == 0:
        return mcnemar(values)
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def mcnemar(differences: Floats) -> float:
    """Return McNemar's exact p of the signs of `differences` `[facts]`; 1 where none differ."""
    more, less = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    return float(stats.binomtest(more, more + less).pvalue) if more + less else 1.0


def _crossed(found: Crossed) -> float:
    """Return the p at which the interval just reaches 0."""
    mean = abs(float(found.mean))
    if mean == 0:
        return 1.0

    def beyond(log_p: float) -> float:
        return float(found.half_width(np.exp(log_p))) - mean

    least = float(np.log(_LEAST_P))
    if beyond(least) <= 0:
        return _LEAST_P
    return float(np.exp(optimize.brentq(beyond, least, 0.0)))


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
