"""Ranks over several tasks and models: of the methods that have a result in every section."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.report.leaderboard.board import Section
from bench.report.statistics.intervals import CONFIDENCE, Floats
from bench.report.statistics.ranking import DRAWS, Overall, OverallRanks, bootstrap_means, ranks


def overall_ranks(sections: Sequence[Section]) -> OverallRanks | None:
    """Rank methods over sections; None where fewer than two methods are in two or more."""
    found = [section.ranked for section in sections if section.done]
    if len(found) < 2:
        return None
    common = [label for label in found[0] if all(label in values for values in found)]
    if len(common) < 2:
        return None
    in_each = [[values[label] for label in common] for values in found]
    drawn = _over_sections(
        [
            ranks(bootstrap_means(values, seed=place), "average")
            for place, values in enumerate(in_each)
        ]
    )
    means = [np.array([[seeds.mean()] for seeds in values]) for values in in_each]
    points = np.mean([ranks(values, "average")[:, 0] for values in means], axis=0)
    names = {section.reference for section in sections}
    reference = names.pop() if len(names) == 1 and names <= set(common) else ""
    tail = (1 - CONFIDENCE) / 2
    ends = np.quantile(drawn, [tail, 1 - tail], axis=1).T.tolist()
    methods = []
    for label, own, rank, (low, high) in zip(common, drawn, points.tolist(), ends, strict=True):
        improvement = None
        if reference and label != reference:
            against = drawn[common.index(reference)]
            improvement = float(np.mean(own < against) + np.mean(own == against) / 2)
        methods.append(Overall(label, rank, low, high, improvement))
    labels = {label for values in found for label in values}
    left_out = tuple(sorted(labels - set(common)))
    ordered = sorted(methods, key=lambda method: (method.rank, method.label))
    return OverallRanks(tuple(ordered), len(found), reference, left_out)


def _over_sections(by_section: list[Floats]) -> Floats:
    """Return mean ranks `[methods, draws]` over sections drawn with replacement."""
    count = len(by_section)
    chosen = np.random.default_rng(0).integers(count, size=(count, DRAWS))
    drawn = np.zeros_like(by_section[0])
    for place, ranked in enumerate(by_section):
        drawn += np.sum(chosen == place, axis=0) * ranked
    return drawn / count
