"""Pearson's correlation with Fisher's interval, between groups and within them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from bench.report.statistics.crossed import CONFIDENCE, Floats

FEWEST = 4
"""With fewer degrees of freedom there is neither a correlation to show nor an interval."""

_ROUNDING = 1e-9
"""Values that differ by less, relative to their size, are the same."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation with its 95% interval.

    Attributes:
        value, low, high: Between -1 and 1.
        points: Of how many points.
        groups: Within how many groups they lie; 1 if they are not grouped.
    """

    value: float
    low: float
    high: float
    points: int
    groups: int = 1


def correlation(x: Sequence[float], y: Sequence[float]) -> Correlation | None:
    """Return the correlation of two lists; None for fewer than `FEWEST` points, or equal ones."""
    return _within([np.asarray(x, dtype=np.float64)], [np.asarray(y, dtype=np.float64)])


def correlation_within(
    x: Sequence[Sequence[float]], y: Sequence[Sequence[float]]
) -> Correlation | None:
    """Return the correlation within groups, where each group has means of its own.

    A group of one point says nothing, and does not count. The interval has one degree of freedom
    less for each group, as for the partial correlation given the groups.

    Args:
        x: The values of each group.
        y: Likewise.
    """
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if len(a) > 1]
    return _within(*([np.asarray(one, dtype=np.float64) for one in side] for side in _sides(pairs)))


def _sides(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> tuple[list[Sequence[float]], list[Sequence[float]]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


def _within(x: Sequence[Floats], y: Sequence[Floats]) -> Correlation | None:
    points, groups = sum(map(len, x)), len(x)
    if points - (groups - 1) < FEWEST:
        return None
    a, b = (np.concatenate([one - one.mean() for one in side]) for side in (x, y))
    size = [np.sqrt((np.concatenate(side) ** 2).sum()) for side in (x, y)]
    spread = [np.sqrt((one**2).sum()) for one in (a, b)]
    if any(s <= _ROUNDING * whole for s, whole in zip(spread, size, strict=True)):
        return None
    value = float(np.clip((a * b).sum() / (spread[0] * spread[1]), -1, 1))
    if 1 - abs(value) <= _ROUNDING:  # on a line, which Fisher's interval has no room for
        return Correlation(value, value, value, points, groups)
    half = special.ndtri((1 + CONFIDENCE) / 2) / np.sqrt(points - groups - 2)
    low, high = (float(np.tanh(np.arctanh(value) + end)) for end in (-half, half))
    return Correlation(value, low, high, points, groups)
