"""Methods against a reference method, paired by seed and by fact; ties stay ties.

For each fact and seed that both have, the reference's value is subtracted from the method's. The p
of no difference belongs to Howe's interval of the mean, see `crossed`. It takes three seeds and
five facts: one seed says nothing about others and two say too little, so nothing is tested then.
Holm's correction is over the methods of a section, for each metric separately.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain

import numpy as np
from scipy import special

from bench.report.statistics.intervals import (
    CONFIDENCE,
    DECIDING_SEEDS,
    FEWEST_ITEMS,
    UNBOUNDED,
    Bounds,
    Crossed,
    Estimate,
    Floats,
    Interval,
    IntervalKind,
    Sample,
    estimates,
)

LEVEL = 1 - CONFIDENCE


class Verdict(StrEnum):
    """How a method differs from the reference after Holm's correction."""

    BETTER = "better"
    WORSE = "worse"
    TIE = "tie"
    UNTESTED = "untested"


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
        p: The p-value of no difference; None where there are too few seeds or facts to test.
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
        """Better or worse where the corrected test says so, else a tie, if there is a test."""
        if self.p is None:
            return Verdict.UNTESTED
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
    tested = [_is_tested(sample) for sample in samples]
    layouts = [np.array(s.items) for s, wanted in zip(samples, tested, strict=True) if wanted]
    ps = iter(p_values(layouts))
    found: list[Comparison | None] = []
    for pair, values, sample, wanted, difference in zip(
        pairs, by_seed, samples, tested, estimates(samples), strict=True
    ):
        p = next(ps) if wanted else None
        if difference is None:
            found.append(None)
            continue
        compared = Comparison(difference, p, None, tuple(values), pair[0].more_is_better)
        found.append(_with_width(compared, *pair, sample))
    return found


def _is_tested(sample: Sample) -> bool:
    enough = len(sample.per_seed) >= DECIDING_SEEDS and (sample.fewest or 0) >= FEWEST_ITEMS
    return enough and sample.is_crossed


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
    compared: Comparison, method: Measured, reference: Measured, sample: Sample
) -> Comparison:
    """Give answers that differ nowhere, or everywhere, a width: facts that were not asked might."""
    assert sample.items
    first = sample.items[0]
    alike = sample.is_crossed and all((values == first[0]).all() for values in sample.items)
    if not alike or not (_right_or_wrong(method) and _right_or_wrong(reference)):
        return compared
    difference = replace(compared.difference, interval=bonett_price(first))
    p = None if compared.p is None else bonett_price_p(first)
    return replace(compared, difference=difference, p=p)


def bonett_price(differences: Floats) -> Interval:
    """Return Bonett and Price's interval (2012) of the mean of -1, 0 and 1, `[facts]`.

    Wald's with one fact added where only the one is right and one where only the other is.
    """
    mean, error = _bonett_price(differences)
    half = special.ndtri((1 + CONFIDENCE) / 2) * error
    low, high = np.clip([mean - half, mean + half], -1, 1)
    return Interval(float(low), float(high), IntervalKind.FACTS)


def bonett_price_p(differences: Floats) -> float:
    """Return the p at which `bonett_price` just reaches 0."""
    mean, error = _bonett_price(differences)
    return float(2 * special.ndtr(-abs(mean) / error))


def _bonett_price(differences: Floats) -> tuple[float, float]:
    n = len(differences) + 2
    more, less = (np.sum(differences == sign) + 1 for sign in (1, -1))
    mean = (more - less) / n
    return float(mean), float(np.sqrt(((more + less) / n - mean**2) / n))


def p_value(differences: Floats) -> float:
    """Return the probability of a mean as far from 0 or farther, were there no difference.

    It is 1 with fewer than three seeds or with one fact, which decide nothing.

    Args:
        differences: `[seeds, facts]`.
    """
    return p_values([differences])[0]


def p_values(layouts: Sequence[Floats]) -> list[float]:
    """Return `p_value` of each layout; those of one shape are worked out together."""
    found = [1.0] * len(layouts)
    shapes: dict[tuple[int, ...], list[int]] = {}
    for place, differences in enumerate(layouts):
        seeds, facts = differences.shape
        if seeds >= DECIDING_SEEDS and facts > 1:
            shapes.setdefault(differences.shape, []).append(place)
    together = [
        Crossed.of(np.array([layouts[place] for place in places])) for places in shapes.values()
    ]
    if together:
        ps = Crossed.joined(together).p().tolist()
        for place, p in zip(chain.from_iterable(shapes.values()), ps, strict=True):
            found[place] = p
    return found


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
