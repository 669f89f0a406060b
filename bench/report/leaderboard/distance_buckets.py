"""Facts in buckets of semantic distance: quantiles or fixed bins, and means over each bucket.

Facts that the base knows have short distances and are answered anyway, which hides the effect of
distance: everything here can be had of the other facts alone, in buckets of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.leaderboard.board import Cell, Row
from bench.report.statistics.intervals import SHARE, UNBOUNDED, Estimate, Floats, estimate

BUCKETS = 5
BINS_PER_UNIT = 10
AWAY = 1e-3
"""A fact moved away from its target when its distance grew by more than this."""

DISTANCE_LABEL = "semantic distance of the base's answer to the target, 1 - cosine"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Facts whose distance is in (low, high]; the first includes its low end."""

    low: float
    high: float
    n: int

    @property
    def range(self) -> str:
        """The interval, for people."""
        low, high = f"{self.low:.2f}", f"{self.high:.2f}"
        return low if low == high else f"{low}–{high}"


Bucketing = Callable[[Floats], list[Bucket]]


def quantile_buckets(distances: Floats) -> list[Bucket]:
    """Return up to five buckets of nearly equal size; ties make fewer.

    Where a fifth or more share the least distance (known facts, at 0), they are a bucket alone.
    """
    if not len(distances):
        return []
    drawn = np.quantile(distances, np.linspace(0, 1, BUCKETS + 1), method="higher")
    edges = np.unique(drawn)
    if drawn[0] == drawn[1]:
        edges = np.array([drawn[0], *edges])
    return _between(distances, edges)


def fixed_bins(distances: Floats) -> list[Bucket]:
    """Return bins of width 0.1, from that of the least distance to that of the greatest."""
    if not len(distances):
        return []
    first = min(int(np.floor(distances.min() * BINS_PER_UNIT)), 2 * BINS_PER_UNIT - 1)
    last = max(int(np.ceil(distances.max() * BINS_PER_UNIT)), first + 1)
    return _between(distances, np.arange(first, last + 1) / BINS_PER_UNIT)


def edges_of(buckets: Sequence[Bucket]) -> Floats:
    """Return where buckets begin and end, `[buckets + 1]`."""
    return np.array([buckets[0].low, *(bucket.high for bucket in buckets)])


def bucket_of(distances: Floats, edges: Floats) -> NDArray[np.intp]:
    """Return the number of each distance's bucket, `[facts]`."""
    return np.clip(np.searchsorted(edges, distances, side="left") - 1, 0, len(edges) - 2)


def _between(distances: Floats, edges: Floats) -> list[Bucket]:
    sizes = np.bincount(bucket_of(distances, edges), minlength=len(edges) - 1)
    return [
        Bucket(float(low), float(high), int(n))
        for (low, high), n in zip(pairwise(edges), sizes, strict=True)
    ]


def chosen_facts(cell: Cell, unknown_only: bool) -> pd.DataFrame:
    """Return the facts that have distances; `unknown_only` those that the base did not answer."""
    distances = cell.rows[["distance_before", "distance_after"]].to_numpy(dtype=np.float64)
    wanted = np.isfinite(distances).all(axis=1)
    if unknown_only:
        wanted = wanted & ~cell.rows["correct_before"].to_numpy(dtype=np.bool_)
    return cell.rows.loc[wanted]


def distances_of(row: Row, unknown_only: bool) -> Floats:
    """Return the base's distances of a row's facts; every seed has the same."""
    return _before(chosen_facts(row.cells[0], unknown_only))


def _before(rows: pd.DataFrame) -> Floats:
    return rows["distance_before"].to_numpy(dtype=np.float64)


def grown(rows: pd.DataFrame) -> Floats:
    """Return each fact's deviation: distance after minus before, `[facts]`."""
    return rows["distance_after"].to_numpy(dtype=np.float64) - _before(rows)


@dataclass(frozen=True, slots=True)
class Measure:
    """What is averaged over the facts of a bucket.

    Attributes:
        label: Names it with its unit, for an axis.
        per_fact: Its value of each fact, `[facts]`.
        share: Whether values are 0 or 1; the mean then is a share, shown in percent.
        limits: Of its axis; None leaves an end to the data.
    """

    label: str
    per_fact: Callable[[pd.DataFrame], Floats]
    share: bool
    limits: tuple[float | None, float | None] = (None, None)

    @property
    def scale(self) -> float:
        """What a value is multiplied by to be shown."""
        return 100.0 if self.share else 1.0


ACCURACY = Measure(
    "facts answered after training, %",
    lambda rows: rows["correct_after"].to_numpy(dtype=np.float64),
    share=True,
    limits=(-4, 104),
)
MOVED_AWAY = Measure(
    "facts that moved away from the target, %",
    lambda rows: (grown(rows) > AWAY).astype(np.float64),
    share=True,
    limits=(-2, None),
)
DEVIATION = Measure("mean deviation, after - before (below 0: closer)", grown, share=False)


def by_bucket(
    row: Row, edges: Floats, measure: Measure, *, unknown_only: bool
) -> list[Estimate | None]:
    """Return a row's mean over seeds in each bucket; None for a bucket without facts."""
    seeds: list[list[Floats]] = []
    for cell in row.cells:
        rows = chosen_facts(cell, unknown_only)
        places, values = bucket_of(_before(rows), edges), measure.per_fact(rows)
        seeds.append([values[places == number] for number in range(len(edges) - 1)])

    found: list[Estimate | None] = []
    for bucket in zip(*seeds, strict=True):
        present = [values for values in bucket if len(values)]
        means = [float(values.mean()) for values in present]
        found.append(estimate(means, present, SHARE if measure.share else UNBOUNDED))
    return found
