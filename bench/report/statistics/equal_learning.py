"""What a method has cost by the time it learned a share of the facts: drift at equal learning.

A method may drift less only because it learned less. So methods are compared where each has
learned the same share: in each seed e* is the first epoch at which the share of facts that are
learned reaches 90% (or 50%), and the cost is that at e*. Both the share and the cost are linear
between the epochs at which they are known.

The interval is Howe's over seeds and blocks of facts, on jackknife pseudo-values: with B blocks,
B times the value of all facts less B - 1 times the value without a block. In simulation (3 and 5
seeds, 64 to 512 facts) that of a ratio of two methods covers 94 to 97%. The cost's own sampling
error, of the texts that drift is measured on, is not in it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.report.statistics.comparison import Comparison
from bench.report.statistics.crossed import resolved
from bench.report.statistics.intervals import (
    DECIDING_SEEDS,
    FEWEST_ITEMS,
    Crossed,
    Estimate,
    Floats,
    Interval,
    IntervalKind,
    half_widths,
)

BLOCKS = 16
DIGITS = 12
"""Significant digits of a cost or a ratio."""

FEWEST_FACTS = 2 * BLOCKS
"""With fewer facts a block would be a single fact or none: there is a value and no interval."""


@dataclass(frozen=True, slots=True)
class LearningPath:
    """How soon facts were learned and what it cost on the way, of one method.

    Attributes:
        seeds: In the order of the first axis of the arrays.
        epochs_to_learn: `[seeds, facts]`, the epochs after which a fact is right and stays right;
            0 is before training, more than the last checkpoint is not learned.
        checkpoints: `[checkpoints]`, the epochs after which costs were measured, ascending. Epoch 0
            is among them where a first step had lost something before; else `from_start` adds it.
        costs: `[seeds, checkpoints]`, such as drift in nats, or a share that was forgotten.
        as_ratio: Whether methods are compared by the ratio of their costs, as with drift, instead
            of by the difference, as with forgetting, which can be 0 or a gain.
    """

    seeds: tuple[int, ...]
    epochs_to_learn: Floats
    checkpoints: Floats
    costs: Floats
    as_ratio: bool = True

    @property
    def from_start(self) -> LearningPath:
        """The path with epoch 0, at which nothing has been lost unless it was measured."""
        if self.checkpoints[0] == 0:
            return self
        nothing = np.zeros((*self.costs.shape[:-1], 1))
        return replace(
            self,
            checkpoints=np.concatenate([[0.0], self.checkpoints]),
            costs=np.concatenate([nothing, self.costs], axis=-1),
        )

    def of(self, seeds: tuple[int, ...]) -> LearningPath:
        """Return the path of some of the seeds."""
        places = [self.seeds.index(seed) for seed in seeds]
        return replace(
            self,
            seeds=seeds,
            epochs_to_learn=self.epochs_to_learn[places],
            costs=self.costs[places],
        )


@dataclass(frozen=True, slots=True)
class CostAtShare:
    """The cost where a share is learned, as a logarithm where methods are compared by ratio.

    Attributes:
        whole: Of all facts, `[..., seeds]`; NaN where the share is never reached, or is reached
            before training.
        without: Of all facts but those of one block, `[..., seeds, blocks]`.
    """

    whole: Floats
    without: Floats

    @property
    def pseudo_values(self) -> Floats:
        """What each block adds, `[..., seeds, blocks]`."""
        return BLOCKS * self.whole[..., None] - (BLOCKS - 1) * self.without


def at_equal_learning(path: LearningPath, share: float) -> Estimate | None:
    """Return what a method has cost when it has learned a share of the facts.

    The mean over seeds is geometric where methods are compared by ratio. One seed has an interval
    over blocks of facts alone.

    Args:
        path: Of facts that the base does not know.
        share: In (0, 1), such as 0.9.

    Returns:
        None if there are fewer than five facts, or if in some seed the share is never reached or
        is reached before training.
    """
    if path.epochs_to_learn.shape[1] < FEWEST_ITEMS:
        return None
    found = cost_at_share(path, share)
    if not np.isfinite(found.whole).all():
        return None
    estimate = _estimate(found, path)
    return as_ratio(estimate) if path.as_ratio else estimate


def compare_at_equal_learning(
    method: LearningPath, reference: LearningPath, share: float
) -> Comparison | None:
    """Compare what two methods have cost when each has learned the same share of the same facts.

    Args:
        method: Of facts that the base does not know.
        reference: Of the same facts in the same order.
        share: In (0, 1), such as 0.9.

    Returns:
        The difference, method minus reference, in the seeds that both have; it is one of
        logarithms where methods are compared by ratio, which `as_ratio` turns into a ratio. None
        as in `at_equal_learning`, for either method, and where they share no seed.

    Raises:
        ValueError: The methods have different numbers of facts or costs of different kinds.
    """
    facts = method.epochs_to_learn.shape[1]
    if (facts, method.as_ratio) != (reference.epochs_to_learn.shape[1], reference.as_ratio):
        raise ValueError("methods are compared at equal learning on the same facts and costs")
    seeds = tuple(seed for seed in method.seeds if seed in reference.seeds)
    if not seeds or facts < FEWEST_ITEMS:
        return None
    one, other = (cost_at_share(path.of(seeds), share) for path in (method, reference))
    gap = CostAtShare(one.whole - other.whole, one.without - other.without)
    if not np.isfinite(gap.whole).all():
        return None
    estimate = _estimate(gap, method.of(seeds))
    p = None
    if estimate.interval is not None and len(seeds) >= DECIDING_SEEDS:
        crossed = replace(Crossed.of(gap.pseudo_values), mean=np.asarray(gap.whole.mean()))
        p = float(crossed.p())
    return Comparison(estimate, p, None, seeds, more_is_better=False)


def as_ratio(estimate: Estimate) -> Estimate:
    """Turn an estimate of a logarithm, with its interval, into one of what it is of."""
    found = estimate.interval
    interval = None
    if found is not None:
        low, high = resolved(np.exp([found.low, found.high]), DIGITS).tolist()
        interval = Interval(low, high, found.kind)
    return Estimate(float(resolved(np.exp([estimate.value]), DIGITS)[0]), interval, estimate.items)


def _estimate(found: CostAtShare, path: LearningPath) -> Estimate:
    """Return the mean over seeds; without a block the share may be missed: then no interval."""
    seeds, facts = path.epochs_to_learn.shape
    value = float(found.whole.mean())
    if facts < FEWEST_FACTS or not np.isfinite(found.without).all():
        return Estimate(value, items=facts)
    half = float(half_widths(found.pseudo_values))
    return Estimate(value, Interval(value - half, value + half, IntervalKind.of(seeds)), facts)


def cost_at_share(path: LearningPath, share: float) -> CostAtShare:
    """Return the cost of each seed where a share is learned; arrays may have leading axes.

    Args:
        path: With `[..., seeds, facts]` and `[..., seeds, checkpoints]`.
        share: In (0, 1).
    """
    path = path.from_start
    checkpoints, costs = path.checkpoints, path.costs
    epochs = np.arange(int(checkpoints[-1]) + 1)

    facts = path.epochs_to_learn.shape[-1]
    members = np.equal.outer(np.arange(BLOCKS), blocks(facts)).astype(np.float64)
    learned = (path.epochs_to_learn[..., None] <= epochs).astype(np.float64)
    by_block = members @ learned
    total, left = by_block.sum(axis=-2), facts - members.sum(axis=1)[:, None]

    whole = _between(checkpoints, costs, _first_epoch(total / facts, share))
    rest = (total[..., None, :] - by_block) / np.maximum(left, 1)
    without = _between(checkpoints, costs[..., None, :], _first_epoch(rest, share))
    if not path.as_ratio:
        return CostAtShare(whole, without)
    with np.errstate(divide="ignore", invalid="ignore"):
        return CostAtShare(np.log(whole), np.log(without))


def _first_epoch(curve: Floats, share: float) -> Floats:
    """Return where a dose curve `[..., epochs + 1]` first reaches a share; NaN if never or at 0."""
    reached = curve >= share
    after = np.maximum(reached.argmax(axis=-1), 1)[..., None]
    high, low = (np.take_along_axis(curve, after - back, axis=-1)[..., 0] for back in (0, 1))
    rise = np.where(high > low, high - low, 1.0)
    found = after[..., 0] - 1 + (share - low) / rise
    return np.where(reached.any(axis=-1) & ~reached[..., 0], found, np.nan)


def _between(checkpoints: Floats, costs: Floats, epochs: Floats) -> Floats:
    """Return costs `[..., checkpoints]` at `epochs` `[...]`, linear between checkpoints."""
    last = len(checkpoints) - 2
    before = np.clip(np.searchsorted(checkpoints, epochs, side="right") - 1, 0, last)[..., None]
    shape = (*epochs.shape, len(checkpoints))
    low, high = (
        np.take_along_axis(np.broadcast_to(costs, shape), before + on, axis=-1)[..., 0]
        for on in (0, 1)
    )
    start, end = checkpoints[before[..., 0]], checkpoints[before[..., 0] + 1]
    return np.asarray(low + (high - low) * (epochs - start) / (end - start))


@lru_cache(maxsize=64)
def blocks(facts: int) -> NDArray[np.intp]:
    """Return the block of each fact, `[facts]`: dealt out in an order that is fixed and arbitrary.

    Facts stand in the order of their ids, in which neighbours are alike; a hash takes them apart.
    """
    hashed = [hashlib.sha256(str(place).encode()).digest() for place in range(facts)]
    found = np.empty(facts, dtype=np.intp)
    found[sorted(range(facts), key=hashed.__getitem__)] = np.arange(facts) % BLOCKS
    return found
