"""Ranks over several tasks and models: of the methods that every section can rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.report.leaderboard.board import Section
from bench.report.statistics.intervals import DECIDING_SEEDS, Crossed, Floats
from bench.report.statistics.pooled import Pooled
from bench.report.statistics.ranking import Overall, OverallRanks, mean_ranks, rank_intervals


def overall_ranks(sections: Sequence[Section]) -> OverallRanks | None:
    """Rank methods over sections; None where fewer than two methods can be ranked in two or more.

    Pairs are separated by their differences pooled over sections with equal weights. The ranks
    are about these sections and say nothing about others.
    """
    done = [section for section in sections if section.done]
    # Epochs and shares cannot be pooled: a task that the base knew is ranked by what is left.
    if len(done) < 2 or len({section.headline for section in done}) > 1:
        return None
    common = [label for label in done[0].ranked if all(label in one.ranked for one in done)]
    tables = [_better(section, common) for section in done] if len(common) > 1 else []
    if not tables or any(len(table[0]) < DECIDING_SEEDS for table in tables):
        return None
    ranks = mean_ranks(np.array([table.mean(axis=(1, 2)) for table in tables]))
    possible = rank_intervals(*_pairs(tables))
    methods = [Overall(*values) for values in zip(common, ranks.tolist(), possible, strict=True)]
    labels = {row.label for section in done for row in section.done}
    return OverallRanks(
        methods=tuple(sorted(methods, key=lambda method: (method.rank, method.label))),
        sections=len(done),
        left_out=tuple(sorted(labels - set(common))),
    )


def _better(section: Section, labels: Sequence[str]) -> Floats:
    """Return `[methods, seeds, facts]` of the seeds that all methods have; more is better."""
    found = [section.ranked[label] for label in labels]
    seeds = sorted(set.intersection(*(set(one.by_seed) for one in found)))
    if not seeds:
        return np.empty((len(labels), 0, 0))
    values = np.array([[one.by_seed[seed] for seed in seeds] for one in found])
    return values if found[0].more_is_better else -values


def _pairs(tables: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return the p of each pair of methods, and how much better one is, `[methods, methods]`."""
    count = len(tables[0])
    first, second = np.triu_indices(count, k=1)
    pooled = Pooled.of([Crossed.of(table[first] - table[second]) for table in tables])
    ps, better = np.full((count, count), np.nan), np.zeros((count, count))
    ps[first, second] = ps[second, first] = pooled.p()
    better[first, second], better[second, first] = pooled.mean, -pooled.mean
    return ps, better
