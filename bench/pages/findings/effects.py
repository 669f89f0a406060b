"""Effects from values per seed and fact: means, paired differences, groups of facts, spreads.

Whatever is compared becomes a table `[seeds, facts]` whose mean is the effect and whose spread over
seeds and facts is that of the effect, so that one interval and one test serve all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.pages.findings.verdict import Effect, Unit
from bench.report.statistics.comparison import bonett_price, p_value
from bench.report.statistics.intervals import (
    CONFIDENCE,
    DIFFERENCE,
    SHARE,
    UNBOUNDED,
    Bounds,
    Estimate,
    Floats,
    Interval,
    IntervalKind,
    estimate,
)

Flags = NDArray[np.bool_]


def share(name: str, setting: str, values: Floats, null: float) -> Effect:
    """Return the share of right ones among `values` `[seeds, facts]`, tested against `null`."""
    return _effect(name, setting, values, bounds=SHARE, null=null, unit=Unit.PERCENT)


def paired(
    name: str, setting: str, first: Floats, second: Floats, *, identical: bool = False
) -> Effect:
    """Return the mean of `first - second`, both `[seeds, facts]` of the same seeds and facts.

    Answers that nowhere differ still have an interval, since other facts might, unless both are
    `identical` by construction.
    """
    differences = first - second
    bounded = np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all()
    alike = bounded and not identical and np.ptp(differences) == 0
    floor = bonett_price(differences[0]) if alike else None
    return _effect(name, setting, differences, bounds=DIFFERENCE, floor=floor)


def paired_nats(name: str, setting: str, first: Floats, second: Floats) -> Effect:
    """Return the mean of `first - second` in nats."""
    return _effect(name, setting, first - second, bounds=UNBOUNDED, unit=Unit.NATS)


def between(name: str, setting: str, values: Floats, first: Flags, second: Flags) -> Effect | None:
    """Return the mean over the facts `first` minus that over the facts `second`.

    Args:
        name: What is compared.
        setting: Where.
        values: `[seeds, facts]`, shares or right and wrong.
        first: One group, `[facts]`.
        second: The other, without a fact of the first.

    Returns:
        None where a group has fewer than two facts.
    """
    if min(first.sum(), second.sum()) < 2:
        return None
    table = group_difference(values, first, second)
    floor = None
    if np.ptp(table) == 0:
        floor = agresti_caffo(values[0][first], values[0][second])
    return _effect(name, setting, table, bounds=DIFFERENCE, floor=floor)


def group_difference(values: Floats, first: Flags, second: Flags) -> Floats:
    """Return `[seeds, facts of both]` with the groups' difference as mean and its variance.

    A fact counts its distance to its group's mean as often as the group is smaller than both
    together: the variance of the mean is then that of the two means added.
    """
    one, other = values[:, first], values[:, second]
    means = [group.mean(axis=1, keepdims=True) for group in (one, other)]
    n, difference = one.shape[1] + other.shape[1], means[0] - means[1]
    up = difference + n / one.shape[1] * (one - means[0])
    down = difference - n / other.shape[1] * (other - means[1])
    return np.concatenate([up, down], axis=1)


def agresti_caffo(first: Floats, second: Floats) -> Interval:
    """Return Agresti and Caffo's interval (2000) of the difference of two shares, `[facts]` each.

    Wald's with one right and one wrong fact added to each group.
    """
    sizes = [len(group) + 2 for group in (first, second)]
    shares = [(group.sum() + 1) / n for group, n in zip((first, second), sizes, strict=True)]
    variance = sum(p * (1 - p) / n for p, n in zip(shares, sizes, strict=True))
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(variance)
    centre = shares[0] - shares[1]
    low, high = np.clip([centre - half, centre + half], -1, 1)
    return Interval(float(low), float(high), IntervalKind.FACTS)


def spread_table(methods: Sequence[Floats]) -> Floats:
    """Return `[seeds, facts]` whose mean is the standard deviation between methods' means.

    Its spread is that of the standard deviation, by the delta method: a fact counts as far as it
    moves the means apart.

    Args:
        methods: `[seeds, facts]` each, two or more, of the same seeds and facts.
    """
    stacked = np.stack(methods)
    means = stacked.mean(axis=(1, 2))
    away = means - means.mean()
    spread = float(means.std(ddof=1))
    pull = away / ((len(methods) - 1) * spread) if spread else np.zeros_like(away)
    return np.asarray(spread + np.tensordot(pull, stacked - means[:, None, None], axes=1))


def mean_of(name: str, setting: str, table: Floats, unit: Unit = Unit.POINTS) -> Effect:
    """Return the mean of a table `[seeds, facts]`, in shares."""
    return _effect(name, setting, table, bounds=DIFFERENCE, unit=unit)


def _effect(
    name: str,
    setting: str,
    values: Floats,
    *,
    bounds: Bounds,
    null: float = 0.0,
    unit: Unit = Unit.POINTS,
    floor: Interval | None = None,
) -> Effect:
    found = estimate([float(seed.mean()) for seed in values], list(values), bounds)
    assert found is not None, "an effect has at least one seed"
    if floor is not None:
        found = Estimate(found.value, floor)
    seeds, facts = values.shape
    p = p_value(values - null)
    return Effect(name, setting, found, p, seeds, facts, null=null, unit=unit)
