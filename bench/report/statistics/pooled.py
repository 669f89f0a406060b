"""One effect over several settings: the mean of their means, with one interval and two tests.

Settings (a base and a task each) have equal weights and are fixed: the interval is about these
settings and says nothing about others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from bench.report.statistics.crossed import CONFIDENCE, Crossed, Floats, miss_that_reaches


@dataclass(frozen=True, slots=True)
class Pooled:
    """The mean of an effect over K settings, and the parts of its variance.

    With s, f and e the mean squares of a setting's S seeds and F facts, see `Crossed`, the parts
    are A = sum(s / S F) / K^2 and B = sum(max(f - e, 0) / S F) / K^2, with f alone where s is 0.
    Howe's half-width h is h^2 = t^2_df A + t^2_(F-1) B. The seeds' freedom df is Satterthwaite's;
    F is the smallest number of facts, which is the cautious choice where settings differ in it.

    Attributes:
        mean, seed_part, fact_part, seed_freedom: `[...]`, one per effect.
        fact_freedom: One number for all effects.
    """

    mean: Floats
    seed_part: Floats
    fact_part: Floats
    seed_freedom: Floats
    fact_freedom: float

    @classmethod
    def of(cls, settings: Sequence[Crossed]) -> Pooled:
        """Pool settings with equal weights; each holds as many effects `[...]` as the others."""
        count = len(settings)
        sizes = [one.seeds * one.facts for one in settings]
        over_seeds = np.stack([one.over_seeds / n for one, n in zip(settings, sizes, strict=True)])
        over_facts = np.stack(
            [
                np.maximum(one.over_facts - np.where(one.over_seeds == 0, 0.0, one.rest), 0) / n
                for one, n in zip(settings, sizes, strict=True)
            ]
        )
        squares = sum(
            part**2 / (one.seeds - 1) for part, one in zip(over_seeds, settings, strict=True)
        )
        total = over_seeds.sum(axis=0)
        freedom = np.divide(total**2, squares, out=np.ones_like(total), where=total > 0)
        return cls(
            mean=np.mean([one.mean for one in settings], axis=0),
            seed_part=total / count**2,
            fact_part=over_facts.sum(axis=0) / count**2,
            seed_freedom=freedom,
            fact_freedom=float(min(np.min(one.facts) for one in settings) - 1),
        )

    def half_width(self, miss: float | Floats = 1 - CONFIDENCE) -> Floats:
        """Return half the width `[...]` of the interval that misses with probability `miss`."""
        for_seeds = special.stdtrit(self.seed_freedom, np.asarray(miss) / 2) ** 2
        for_facts = special.stdtrit(self.fact_freedom, np.asarray(miss) / 2) ** 2
        return np.asarray(np.sqrt(for_seeds * self.seed_part + for_facts * self.fact_part))

    def p(self, null: float = 0.0) -> Floats:
        """Return the two-sided p `[...]` of the hypothesis that the effect is `null`."""
        away = np.abs(self.mean - null)
        return np.where(away == 0, 1.0, miss_that_reaches(self.half_width, away))

    def p_at_least(self, margin: float) -> Floats:
        """Return the one-sided p `[...]` of the hypothesis that the effect is `margin` or more."""
        below = margin - self.mean
        tail = miss_that_reaches(self.half_width, np.abs(below)) / 2
        return np.where(below > 0, tail, 1 - tail)

    def p_at_most(self, margin: float) -> Floats:
        """Return the one-sided p `[...]` of the hypothesis that the effect is `margin` or less."""
        return 1 - self.p_at_least(margin)
