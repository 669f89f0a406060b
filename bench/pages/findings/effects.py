"""Effects from values per seed and fact: means, paired differences, groups of facts, spreads.

Every comparison becomes a table `[seeds, facts]`. Its mean is the effect, and its spread over seeds
and facts is the spread of the effect, so one interval and one test serve all comparisons. A table
holds what was measured, never draws of a bootstrap: more draws would narrow any interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.pages.findings.claim import Effect
from bench.pages.findings.evidence import Setting, shared_seeds, values_of
from bench.pages.findings.verdict import Unit
from bench.report.leaderboard.board import Row
from bench.report.leaderboard.standings import DEFAULT_REFERENCE
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
Measure = Callable[[Row, tuple[int, ...]], Floats]
"""Returns what a row's cells of some seeds measured, `[seeds, facts]`."""


def share(name: str, setting: str, values: Floats, null: float) -> Effect:
    """Return the share of correct answers in `values`, `[seeds, facts]`, tested against `null`."""
    top = float(values.mean())
    return _effect(name, setting, values, bounds=SHARE, null=null, unit=Unit.PERCENT, top_share=top)


def paired(
    name: str, setting: str, first: Floats, second: Floats, *, identical: bool = False
) -> Effect:
    """Return the mean of `first - second`, paired by seed and fact.

    Args:
        name: What is compared.
        setting: Base, task and number of facts.
        first: `[seeds, facts]`.
        second: The same seeds and facts.
        identical: Both are the same by construction. Otherwise values that never differ still get
            an interval, because other facts might differ.
    """
    differences = first - second
    bounded = np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all()
    alike = bounded and not identical and np.ptp(differences) == 0
    floor = bonett_price(differences[0]) if alike else None
    top = float(max(first.mean(), second.mean())) if _are_shares(first, second) else 0.0
    return _effect(name, setting, differences, bounds=DIFFERENCE, floor=floor, top_share=top)


def paired_nats(name: str, setting: str, first: Floats, second: Floats) -> Effect:
    """Return the mean of `first - second` in nats."""
    return _effect(name, setting, first - second, bounds=UNBOUNDED, unit=Unit.NATS)


def between(name: str, setting: str, values: Floats, first: Flags, second: Flags) -> Effect | None:
    """Return the mean over the facts in `first` minus the mean over the facts in `second`.

    Args:
        name: What is compared.
        setting: Base, task and number of facts.
        values: `[seeds, facts]`, shares, or 0 and 1.
        first: The facts of one group, `[facts]`.
        second: The facts of the other group; the groups share no fact.

    Returns:
        None where a group has fewer than two facts.
    """
    if min(first.sum(), second.sum()) < 2:
        return None
    table = group_difference(values, first, second)
    floor = None
    if np.ptp(table) == 0:
        floor = agresti_caffo(values[0][first], values[0][second])
    means = [float(values[:, group].mean()) for group in (first, second)]
    top = max(means) if _are_shares(values) else 0.0
    return _effect(name, setting, table, bounds=DIFFERENCE, floor=floor, top_share=top)


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


def agresti_caffo(first: Floats, second: Floats) -> Interval:
    """Return Agresti and Caffo's interval (2000) of the difference of two shares, `[facts]` each.

    It is Wald's interval after one correct and one wrong answer are added to each group.
    """
    sizes = [len(group) + 2 for group in (first, second)]
    shares = [(group.sum() + 1) / n for group, n in zip((first, second), sizes, strict=True)]
    variance = sum(p * (1 - p) / n for p, n in zip(shares, sizes, strict=True))
    half = special.ndtri((1 + CONFIDENCE) / 2) * np.sqrt(variance)
    centre = shares[0] - shares[1]
    low, high = np.clip([centre - half, centre + half], -1, 1)
    return Interval(float(low), float(high), IntervalKind.FACTS)


def spread_table(methods: Sequence[Floats]) -> Floats:
    """Return `[seeds, facts]` whose mean is the standard deviation between methods' means.

    Its spread is the spread of that standard deviation, by the delta method: each fact is weighted
    by how far it moves the means apart.

    Args:
        methods: Two or more tables `[seeds, facts]` of the same seeds and facts.
    """
    stacked = np.stack(methods)
    means = stacked.mean(axis=(1, 2))
    away = means - means.mean()
    spread = float(means.std(ddof=1))
    pull = away / ((len(methods) - 1) * spread) if spread else np.zeros_like(away)
    return np.asarray(spread + np.tensordot(pull, stacked - means[:, None, None], axes=1))


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


def against_reference(
    settings: Iterable[Setting], measure: Measure = values_of
) -> Iterator[Effect]:
    """Compare every adapter with the reference, paired by fact, in the seeds that both have."""
    for setting in settings:
        rows = setting.adapters()
        reference = rows.pop(DEFAULT_REFERENCE, None)
        if reference is None:
            continue
        for method, row in rows.items():
            seeds = shared_seeds([row, reference])
            if seeds:
                pair = measure(row, seeds), measure(reference, seeds)
                yield paired(f"{method} - {DEFAULT_REFERENCE}", setting.title, *pair)
