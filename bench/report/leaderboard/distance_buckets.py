"""Facts in buckets of semantic distance: quantiles or fixed bins, and means over each bucket.

Facts that the base knows have short distances and are answered anyway, which hides the effect of
distance: everything here can be had of the other facts alone, in buckets of their own, and of
differences within relations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.leaderboard.board import Cell, Row
from bench.report.statistics.intervals import (
    SHARE,
    UNBOUNDED,
    Bounds,
    Estimate,
    Floats,
    estimate,
)

BUCKETS = 5
BINS_PER_UNIT = 10
AWAY = 1e-3
"""A fact moved away from its target when its distance grew by more than this."""

DISTANCE_LABEL = "semantic distance of the base's answer to the target, 1 - cosine"
SHORT_LABEL = "distance of the base's answer to the target"
ADJUSTED_LABEL = "adjusted distance"


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


@dataclass(frozen=True, slots=True)
class Population:
    """Which facts are looked at, and at which pair of their answers.

    Attributes:
        label: Names the facts, for a panel.
        unknown_only: Whether facts that the base answered are left out.
        within_relation: Whether distances and values are taken relative to the mean of the fact's
            relation, added to the mean of all. Calling codes are numbers, near each other and
            slow to learn: without this a difference of relations looks like one of distance.
        trained_prompt: Whether distances are those of answers on the trained prompt, of facts
            whose answer there was not empty before training; otherwise of answers with
            demonstrations. Each is compared with its own before.
    """

    label: str
    unknown_only: bool = False
    within_relation: bool = False
    trained_prompt: bool = False

    @property
    def distances(self) -> tuple[str, str]:
        """The columns of the distance before and after training."""
        if self.trained_prompt:
            return "distance_before_trained", "distance_after"
        return "distance_before", "distance_few_shot"


EVERY_FACT = Population("all facts")
UNKNOWN = Population("facts the base did not answer", unknown_only=True)
WITHIN_RELATION = Population("the same, within their relation", True, within_relation=True)
ON_TRAINED_PROMPT = Population("trained prompt, base answer not empty", trained_prompt=True)


def chosen_facts(cell: Cell, population: Population) -> pd.DataFrame:
    """Return the facts of a population that have distances, these as columns `before` and `after`.

    Within relations `before` is relative to the relation's mean.
    """
    named = dict(zip(population.distances, ("before", "after"), strict=True))
    distances = cell.rows[list(named)].to_numpy(dtype=np.float64)
    wanted = np.isfinite(distances).all(axis=1)
    if population.unknown_only:
        wanted = wanted & ~cell.rows["correct_before"].to_numpy(dtype=np.bool_)
    facts = cell.rows.loc[wanted].assign(
        **{name: distances[wanted, place] for place, name in enumerate(named.values())}
    )
    if population.within_relation:
        facts["before"] = _within_relation(facts, before(facts))
    return facts


def _within_relation(facts: pd.DataFrame, values: Floats) -> Floats:
    """Return values `[facts]` less the mean of the fact's relation, plus the mean of all."""
    series = pd.Series(values, index=facts.index)
    means = series.groupby(facts["relation"]).transform("mean")
    return np.asarray(series - means + series.mean(), dtype=np.float64)


def relations_of(row: Row) -> int:
    """Return how many relations a row's facts have."""
    return int(row.cells[0].rows["relation"].nunique())


def distances_of(row: Row, population: Population) -> Floats:
    """Return the base's distances of a row's facts; every seed has the same."""
    return before(chosen_facts(row.cells[0], population))


def before(facts: pd.DataFrame) -> Floats:
    """Return the distance before training of facts that `chosen_facts` chose, `[facts]`."""
    return np.asarray(facts["before"], dtype=np.float64)


def grown(facts: pd.DataFrame) -> Floats:
    """Return each fact's deviation: distance after minus before, `[facts]`."""
    return np.asarray(facts["after"] - facts["before"], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Measure:
    """What is averaged over the facts of a bucket.

    Attributes:
        label: Names it with its unit, for an axis.
        per_fact: Its value of each fact, `[facts]`; NaN where a fact has none.
        share: Whether values are 0 or 1; the mean then is a share, shown in percent.
        limits: Of its axis; None leaves an end to the data.
        bounds: The least and the greatest value that the mean of a row's facts can take.
    """

    label: str
    per_fact: Callable[[pd.DataFrame], Floats]
    share: bool
    limits: tuple[float | None, float | None] = (None, None)
    bounds: Callable[[Row], Bounds] = lambda row: UNBOUNDED

    @property
    def scale(self) -> float:
        """What a value is multiplied by to be shown."""
        return 100.0 if self.share else 1.0


def epochs_of(facts: pd.DataFrame) -> Floats:
    """Return after how many epochs each fact was learned, `[facts]`; NaN if it was not trained."""
    return facts["epochs_to_learn"].to_numpy(dtype=np.float64)


def learned_by(epochs: int) -> Measure:
    """Return the share learned after so many epochs."""
    plural = "epoch" if epochs == 1 else "epochs"

    def learned(facts: pd.DataFrame) -> Floats:
        found = epochs_of(facts)
        return np.where(np.isnan(found), np.nan, found <= epochs)

    return Measure(f"learned after {epochs} {plural}, %", learned, share=True, limits=(-4, 104))


EPOCHS = Measure(
    "epochs to learn (less is better)",
    epochs_of,
    share=False,
    limits=(0, None),
    bounds=lambda row: (0.0, row.spec.epochs + 1.0),
)
ACCURACY = Measure(
    "reliability, %",
    lambda facts: facts["correct_after"].to_numpy(dtype=np.float64),
    share=True,
    limits=(-4, 104),
)
MOVED_AWAY = Measure(
    "facts that moved away from the target, %",
    lambda facts: (grown(facts) > AWAY).astype(np.float64),
    share=True,
    limits=(-2, None),
)
DEVIATION = Measure("mean deviation, after - before (below 0: closer)", grown, share=False)


def by_bucket(
    row: Row, edges: Floats, measure: Measure, population: Population
) -> list[Estimate | None]:
    """Return a row's mean over seeds in each bucket; None for a bucket without facts."""
    return by_buckets(row, edges, [measure], population)[0]


def by_buckets(
    row: Row, edges: Floats, measures: Sequence[Measure], population: Population
) -> list[list[Estimate | None]]:
    """Return the same of several measures; to choose the facts takes most of the time."""
    chosen = [chosen_facts(cell, population) for cell in row.cells]
    return [_by_bucket(row, chosen, edges, measure, population) for measure in measures]


def _by_bucket(
    row: Row,
    chosen: Sequence[pd.DataFrame],
    edges: Floats,
    measure: Measure,
    population: Population,
) -> list[Estimate | None]:
    places: list[NDArray[np.intp]] = []
    seeds: list[Floats] = []
    ids: list[NDArray[Any]] = []
    for facts in chosen:
        values = measure.per_fact(facts)
        if population.within_relation:
            values = _within_relation(facts, values)
        there = ~np.isnan(values)
        places.append(bucket_of(before(facts), edges)[there])
        seeds.append(values[there])
        ids.append(facts["fact_id"].to_numpy()[there])
    bounds = SHARE if measure.share else measure.bounds(row)
    if population.within_relation:  # What is relative to a mean has other ends.
        bounds = UNBOUNDED
    found = []
    for number in range(len(edges) - 1):
        own = [of_seed == number for of_seed in places]
        inside = [seed[here] for seed, here in zip(seeds, own, strict=True)]
        kept = [of_seed[here] for of_seed, here in zip(ids, own, strict=True)]
        mean = _mean(inside, kept, bounds)
        adjusted = population.within_relation and measure.share
        found.append(_within_a_whole(mean) if adjusted else mean)
    return found


def _mean(seeds: Sequence[Floats], ids: Sequence[NDArray[Any]], bounds: Bounds) -> Estimate | None:
    """Estimate the mean of values `[facts]` of each seed, whose facts have these ids."""
    present = [values for values in seeds if len(values)]
    # A filter by chance keeps other facts in each seed: then only the seeds' means compare.
    same = all(np.array_equal(own, ids[0]) for own in ids)
    means = [float(values.mean()) for values in present]
    return estimate(means, present, bounds, same_facts=same)


def _within_a_whole(found: Estimate | None) -> Estimate | None:
    """Cut the interval of an adjusted share at 0 and 1, or at a mean beyond these."""
    if found is None or found.interval is None:
        return found
    low = min(max(found.interval.low, 0.0), found.value)
    high = max(min(found.interval.high, 1.0), found.value)
    return replace(found, interval=replace(found.interval, low=low, high=high))
