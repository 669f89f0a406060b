"""Effects from values per seed and fact: means, paired differences, groups of facts, spreads.

Every comparison becomes a table `[seeds, facts]`. Its mean is the effect, and its spread over seeds
and facts is the spread of the effect, so one interval and one test serve all comparisons. A table
holds what was measured, never draws of a bootstrap: more draws would narrow any interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.pages.findings.claim import Effect
from bench.pages.findings.verdict import Unit
from bench.report.statistics.comparison import bonett_price, p_value
from bench.report.statistics.correlation import Correlation
from bench.report.statistics.intervals import (
    CONFIDENCE,
    DIFFERENCE,
    SHARE,
    UNBOUNDED,
    Bounds,
    Crossed,
    Estimate,
    Floats,
    Interval,
    IntervalKind,
    estimate,
)

Flags = NDArray[np.bool_]


def paired(name: str, setting: str, first: Floats, second: Floats) -> Effect:
    """Return the mean of `first - second`, paired by seed and fact.

    Values that never differ still get an interval, because other facts might differ.

    Args:
        name: What is compared.
        setting: Base, task and number of facts.
        first: `[seeds, facts]`.
        second: The same seeds and facts.
    """
    differences = first - second
    bounded = np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all()
    alike = bounded and np.ptp(differences) == 0
    floor = bonett_price(differences[0]) if alike else None
    top = float(max(first.mean(), second.mean())) if _are_shares(first, second) else 0.0
    return _effect(name, setting, differences, bounds=DIFFERENCE, floor=floor, top_share=top)


def _are_shares(*tables: Floats) -> bool:
    return all(((table >= 0) & (table <= 1)).all() for table in tables)


def group_difference(values: Floats, first: Flags, second: Flags) -> Floats:
    """Return `[seeds, facts of both groups]` whose mean is the difference of the group means.

    Each fact's distance from its group's mean is scaled by (facts of both) / (facts of its group),
    so that the variance of the table's mean is the sum of the variances of the two means.
    """
    one, other = values[:, first], values[:, second]
    means = [group.mean(axis=1, keepdims=True) for group in (one, other)]
    n, difference = one.shape[1] + other.shape[1], means[0] - means[1]
    up = difference + n / one.shape[1] * (one - means[0])
    down = difference - n / other.shape[1] * (other - means[1])
    return np.concatenate([up, down], axis=1)


def mean_of(name: str, setting: str, table: Floats, unit: Unit = Unit.POINTS) -> Effect:
    """Return the mean of a table `[seeds, facts]`, a difference of shares unless the unit says."""
    bounds = DIFFERENCE if unit is Unit.POINTS else UNBOUNDED
    if unit is Unit.PERCENT and table.shape[1] > 1 and _are_shares(table):
        bounds = SHARE
    return _effect(name, setting, table, bounds=bounds, unit=unit)


def over_seeds(
    name: str, setting: str, values: Sequence[Floats], unit: Unit = Unit.POINTS
) -> Effect:
    """Return the mean over seeds that have facts of their own, so that each is a single value.

    Args:
        name: What is compared.
        setting: Base, task and number of facts.
        values: Of each seed, `[facts of this seed]`.
        unit: What the values are counted in.
    """
    means = np.array([seed.mean() for seed in values])
    table = np.repeat(means[:, None], max(2, min(map(len, values))), axis=1)
    found = mean_of(name, setting, table, unit)
    interval = found.estimate.interval
    if interval is None or len(means) == 1:  # one value has no spread
        return replace(found, estimate=Estimate(found.value), spread=None)
    by_seed = replace(interval, kind=IntervalKind.SEEDS)
    return replace(found, estimate=replace(found.estimate, interval=by_seed))


def correlated(name: str, setting: str, found: Correlation, seeds: int) -> Effect | None:
    """Return a correlation on Fisher's scale, where it is as good as normal; None on a line.

    Args:
        name: What is correlated.
        setting: Base, task and number of facts.
        found: The correlation with its interval.
        seeds: The fewest seeds that a point is a mean over.
    """
    if found.low == found.high:
        return None
    z, low, high = (float(np.arctanh(r)) for r in (found.value, found.low, found.high))
    error = (high - low) / 2 / special.ndtri((1 + CONFIDENCE) / 2)
    square, nothing = np.asarray(error**2 * 2 * _AS_NORMAL), np.asarray(0.0)
    return Effect(
        name,
        setting,
        Estimate(z, Interval(low, high, IntervalKind.NONE)),
        float(2 * special.ndtr(-abs(z) / error)),
        seeds,
        found.points,
        unit=Unit.CORRELATION,
        spread=Crossed(np.asarray(z), square, nothing, nothing, _AS_NORMAL, 2),
    )


_AS_NORMAL = 10**9
"""So many seeds that Student's distribution is the normal one."""


def _effect(
    name: str,
    setting: str,
    values: Floats,
    *,
    bounds: Bounds,
    null: float = 0.0,
    unit: Unit = Unit.POINTS,
    floor: Interval | None = None,
    top_share: float = 0.0,
) -> Effect:
    found = estimate([float(seed.mean()) for seed in values], list(values), bounds)
    assert found is not None, "an effect has at least one seed"
    if floor is not None:
        found = Estimate(found.value, floor)
    seeds, facts = values.shape
    return Effect(
        name,
        setting,
        found,
        p_value(values - null),
        seeds,
        facts,
        null=null,
        unit=unit,
        spread=_spread(values, floor),
        top_share=top_share,
    )


def _spread(values: Floats, floor: Interval | None) -> Crossed | None:
    """Return the mean squares of `values`; those of a floor where values never differ."""
    if min(values.shape) < 2:
        return None
    found = Crossed.of(values)
    if floor is None:
        return found
    error = (floor.high - floor.low) / 2 / special.ndtri((1 + CONFIDENCE) / 2)
    return replace(found, over_facts=np.asarray(values.size * error**2))
