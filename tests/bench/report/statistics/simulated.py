"""What the simulations of the statistics draw, and how often the statistics are right.

Every function is vectorised over draws `[draws, ...]` and works in pieces, so that memory stays
small. Seeds move all facts of a method, on the scale of logits or of the logarithm of epochs; facts
differ in how easily they are learned, alike for all methods, and by method.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from scipy import special, stats

from bench.report.statistics.equal_learning import CostAtShare, LearningPath, cost_at_share
from bench.report.statistics.intervals import Crossed, half_widths, score_ends, wilson
from bench.report.statistics.ranking import rank_intervals

AT_ONCE = 1_000_000
EPOCHS = 10


def pieces(draws: int, values: int) -> Iterator[int]:
    """How many draws to take at a time, of so many values each."""
    size = max(1, AT_ONCE // values)
    for start in range(0, draws, size):
        yield min(size, draws - start)


@lru_cache(maxsize=256)
def centre(true: float, spread: float) -> float:
    """The logit whose share is `true` on average over a normal spread."""
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        share = special.expit(middle + spread * points) @ weights / weights.sum()
        low, high = (middle, high) if share < true else (low, middle)
    return low


def answers(rng, draws, methods, seeds, facts, *, true, seed_sd, fact_sd=0.0, own_sd=0.0):
    """Right or wrong, `[draws, methods, seeds, facts]`; each method is right in a share `true`.

    `fact_sd` is of facts alike for all methods, `own_sd` of facts for one method.
    """
    spread = float(np.sqrt(seed_sd**2 + fact_sd**2 + own_sd**2))
    logit = centre(true, spread) + seed_sd * rng.standard_normal((draws, methods, seeds, 1))
    if fact_sd:
        logit = logit + fact_sd * rng.standard_normal((draws, 1, 1, facts))
    if own_sd:
        logit = logit + own_sd * rng.standard_normal((draws, methods, 1, facts))
    drawn = rng.random((draws, methods, seeds, facts), dtype=np.float32)
    return (drawn < special.expit(logit)).astype(np.float64)


def epochs(rng, draws, methods, seeds, facts, *, seed_sd, pace=1.0, fact_sd=0.4, own_sd=0.2):
    """Epochs to learn, `[draws, methods, seeds, facts]`; one more than all where not learned."""
    log = pace + seed_sd * rng.standard_normal((draws, methods, seeds, 1))
    log = log + fact_sd * rng.standard_normal((draws, 1, 1, facts))
    log = log + own_sd * rng.standard_normal((draws, methods, 1, facts))
    log = log + 0.35 * rng.standard_normal((draws, methods, seeds, facts))
    return np.minimum(np.ceil(np.exp(log)), EPOCHS + 1)


def score_coverage(rng, draws, seeds, facts, true, seed_sd, fact_sd):
    """How often the score ends of a share hold the truth."""
    held = 0
    for count in pieces(draws, seeds * facts):
        options = {"true": true, "seed_sd": seed_sd, "fact_sd": fact_sd}
        values = answers(rng, count, 1, seeds, facts, **options)[:, 0]
        low, high = score_ends(values.mean(axis=(1, 2)), half_widths(values), facts, seeds)
        held += np.sum((low <= true) & (true <= high))
    return held / draws


def wilson_coverage(facts, true):
    """How often Wilson's interval of one seed holds the truth: exact, not drawn."""
    counts = np.arange(facts + 1)
    ends = [wilson(float(right), facts) for right in counts]
    holds = np.array([end.low <= true <= end.high for end in ends])
    return float(stats.binom.pmf(counts, facts, true)[holds].sum())


def false_differences(rng, draws, seeds, facts, draw, **options):
    """How often two methods that do not differ are told apart."""
    apart = 0
    for count in pieces(draws, 2 * seeds * facts):
        values = draw(rng, count, 2, seeds, facts, **options)
        found = Crossed.of(values[:, 0] - values[:, 1])
        apart += np.sum(np.abs(found.mean) > found.half_width())
    return apart / draws


def false_ranks(rng, draws, methods, seeds, facts, draw, **options):
    """For what share of methods that do not differ the first rank, and the last, is excluded."""
    first, second = np.triu_indices(methods, k=1)
    excluded = np.zeros(2)
    for count in pieces(draws, len(first) * seeds * facts):
        values = draw(rng, count, methods, seeds, facts, **options)
        found = Crossed.of(values[:, first] - values[:, second])
        for ps, gaps in zip(found.p(), found.mean, strict=True):
            table, better = np.full((methods, methods), np.nan), np.zeros((methods, methods))
            table[first, second] = table[second, first] = ps
            better[first, second], better[second, first] = gaps, -gaps
            ranks = [rank for rank in rank_intervals(table, better) if rank is not None]
            excluded += [sum(r.low > 1 for r in ranks), sum(r.high < methods for r in ranks)]
    return excluded / (draws * methods)


def learning_pair(rng, draws, seeds, facts, seed_sd):
    """The learning paths of two methods, `[draws, ...]`; the second is slower and drifts more."""
    hard, whole = 0.3 * rng.standard_normal((draws, 1, facts)), np.arange(EPOCHS + 1.0)
    paths = []
    for pace, power, rate in ((0.95, 1.2, 0.05), (1.1, 1.5, 0.1)):
        log = pace + hard + 0.15 * rng.standard_normal((draws, 1, facts))
        log = log + 0.3 * rng.standard_normal((draws, seeds, facts))
        log = log + seed_sd * rng.standard_normal((draws, seeds, 1))
        drift = rate * whole**power * np.exp(seed_sd * rng.standard_normal((draws, seeds, 1)))
        learned = np.minimum(np.ceil(np.exp(log)), EPOCHS + 1)
        paths.append(LearningPath(tuple(range(seeds)), learned, whole, drift))
    return paths


def log_ratios(rng, draws, seeds, facts, share, seed_sd):
    """The cost of the first method relative to that of the second, at equal learning."""
    one, other = (
        cost_at_share(path, share) for path in learning_pair(rng, draws, seeds, facts, seed_sd)
    )
    return CostAtShare(one.whole - other.whole, one.without - other.without)


def true_log_ratio(rng, share, seed_sd):
    """The mean log ratio over very many seeds of very many facts."""
    found = [log_ratios(rng, 20, 10, 1000, share, seed_sd).whole for _ in range(5)]
    return float(np.nanmean(found))


def equal_learning_coverage(rng, draws, seeds, facts, share, seed_sd):
    """How often the interval of the log ratio of drift holds the truth, where there is one."""
    truth = true_log_ratio(rng, share, seed_sd)
    held = there = 0
    for count in pieces(draws, 2 * seeds * facts * EPOCHS):
        gap = log_ratios(rng, count, seeds, facts, share, seed_sd)
        fine = np.isfinite(gap.without).all(axis=(1, 2)) & np.isfinite(gap.whole).all(axis=1)
        away = np.abs(gap.whole[fine].mean(axis=1) - truth)
        held += np.sum(away <= half_widths(gap.pseudo_values[fine]))
        there += fine.sum()
    return held / there
