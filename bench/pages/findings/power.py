"""Power by simulation: how often the rule says yes, or no, for a design that was not run yet.

A comparison is a table `[seeds, facts]` of paired differences: an effect, plus what a seed adds to
all facts, what a fact adds with all seeds, and the rest, each normal with its own standard
deviation (`Components`). The rule sees such a table through its mean and its mean squares alone,
see `Crossed`, and these are drawn here as they are distributed: the mean is normal, the mean
squares are scaled chi-squares, and all are independent. That gives what drawing whole tables would
give, a thousand times faster. Rivals of one method share half of the variance, its own.

The rule denies what it calls the margin, and says yes only where the estimate reaches it. At an
effect that equals the margin, a yes therefore has a power of at most a half, whatever the size of
the study. So two numbers are fixed for a question: the **smallest effect that counts**, at which a
yes is wanted, and the **bar**, a lower number, which is the rule's margin. The power of a yes is
that at the smallest effect that counts, that of a no is at 0. Since the bar is the lower of the
two, a no also rules out the smallest effect that counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from bench.pages.findings.verdict import NEAR_ONE, Bar, Needs, Tested, decide, run_tests
from bench.report.statistics.comparison import LEVEL
from bench.report.statistics.crossed import CONFIDENCE, Crossed, Floats

DRAWS = 2_000
SHARED = 0.5
"""The correlation of differences to one method, if all methods vary alike."""


@dataclass(frozen=True, slots=True)
class Components:
    """Standard deviations of one value of a table of paired differences, in its own unit.

    Attributes:
        seed: Of what a seed adds to all facts.
        fact: Of what a fact adds with all seeds.
        rest: Of what is left.
    """

    seed: float
    fact: float
    rest: float

    @classmethod
    def of(cls, values: Floats) -> Components:
        """Estimate them from a table `[seeds, facts]`; a variance below 0 counts as 0."""
        return cls.behind(Crossed.of(values))

    @classmethod
    def behind(cls, found: Crossed) -> Components:
        """Estimate them from the mean squares of one table."""
        return cls(
            seed=_root((found.over_seeds - found.rest) / found.facts),
            fact=_root((found.over_facts - found.rest) / found.seeds),
            rest=_root(found.rest),
        )

    @classmethod
    def pooled(cls, some: Sequence[Components]) -> Components:
        """Return the root mean squares, in which all count alike."""
        variances = np.array([(one.seed, one.fact, one.rest) for one in some]) ** 2
        return cls(*(float(value) for value in np.sqrt(variances.mean(axis=0))))

    def error(self, seeds: int, facts: int) -> float:
        """Return the standard error of a mean over so many seeds and facts."""
        parts = self.seed**2 / seeds, self.fact**2 / facts, self.rest**2 / (seeds * facts)
        return math.sqrt(math.fsum(parts))

    def half_width(self, seeds: int, facts: int) -> float:
        """Return half the width of Howe's interval where mean squares are what is expected."""
        for_seeds, for_facts = (
            special.stdtrit(count - 1, (1 + CONFIDENCE) / 2) ** 2 for count in (seeds, facts)
        )
        of_seeds = self.seed**2 / seeds + self.rest**2 / (seeds * facts)
        return math.sqrt(for_seeds * of_seeds + for_facts * self.fact**2 / facts)


def _root(variance: Floats) -> float:
    return math.sqrt(max(float(variance), 0.0))


@dataclass(frozen=True, slots=True)
class Layout:
    """What a claim is decided from.

    Attributes:
        seeds, facts: Of each comparison: the facts, items or blocks of its table.
        rivals: How many effects the claim has.
        settings: How many bases and tasks these are pooled over.
        needs: Whether the claim must hold for all of them, or for any one.
        two_sided: Whether negative effects count as well.
        near_one: Whether a mean share is above 90%.
    """

    seeds: int
    facts: int
    rivals: int = 1
    settings: int = 1
    needs: Needs = Needs.ALL
    two_sided: bool = False
    near_one: bool = False


@dataclass(frozen=True, slots=True)
class Chances:
    """How often the rule says something of one true effect, as shares of all draws.

    Attributes:
        yes, no: That the claim holds, and that it is denied.
        found: That the first effect differs from 0, p at most 0.05, on its own side.
        draws: How many claims were drawn.
    """

    yes: float
    no: float
    found: float
    draws: int

    @property
    def error(self) -> float:
        """The largest Monte Carlo standard error of the three."""
        return max(math.sqrt(p * (1 - p) / self.draws) for p in (self.yes, self.no, self.found))


@dataclass(frozen=True, slots=True)
class Power:
    """The power of a design.

    Attributes:
        yes: Of a yes at the smallest effect that counts; where any rival is enough, one has it.
        no: Of a no where no rival has an effect.
        error: The larger Monte Carlo standard error of the two.
    """

    yes: float
    no: float
    error: float


def power(
    components: Components, layout: Layout, bar: float, counts: float, draws: int = DRAWS
) -> Power:
    """Return the power of a design at the smallest effect that counts, and at 0.

    Args:
        components: Of one comparison.
        layout: What the claim is decided from.
        bar: The rule's margin.
        counts: The smallest effect that counts.
        draws: How many claims are drawn.
    """
    having = layout.rivals if layout.needs is Needs.ALL else 1
    effects = [counts] * having + [0.0] * (layout.rivals - having)
    there = chances(components, layout, bar, effects, draws)
    absent = chances(components, layout, bar, [0.0] * layout.rivals, draws)
    return Power(there.yes, absent.no, max(there.error, absent.error))


def chances(
    components: Components,
    layout: Layout,
    margin: float,
    effects: Sequence[float],
    draws: int = DRAWS,
) -> Chances:
    """Draw claims and judge them by the rule.

    Args:
        components: Of one comparison.
        layout: What each claim is decided from.
        margin: The rule's margin.
        effects: The true effect against each rival, the same in all settings.
        draws: How many claims are drawn; the same arguments give the same chances.
    """
    rng = np.random.default_rng(0)
    tables = [drawn(rng, components, layout, effects, draws) for _ in range(layout.settings)]
    top = NEAR_ONE + 0.05 if layout.near_one else 0.0
    bar = Bar(margin, two_sided=layout.two_sided)
    tested = run_tests(tables, bar, True, top)
    yes, no = decide(tested, layout.needs)
    return Chances(float(yes.mean()), float(no.mean()), _found(tested, tables), draws)


def _found(tested: Tested, tables: Sequence[Crossed]) -> float:
    mean = np.mean([table.mean[..., 0] for table in tables], axis=0)
    return float(((tested.p[..., 0] <= LEVEL) & (mean > 0)).mean())


def drawn(
    rng: np.random.Generator,
    components: Components,
    layout: Layout,
    effects: Sequence[float],
    draws: int,
) -> Crossed:
    """Draw the mean and the mean squares of tables of one setting, each `[draws, rivals]`."""
    seeds, facts = layout.seeds, layout.facts
    of_seeds = facts * components.seed**2 + components.rest**2
    of_facts = seeds * components.fact**2 + components.rest**2
    common, own = rng.standard_normal((draws, 1)), rng.standard_normal((draws, layout.rivals))
    away = math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * own

    def squares(freedom: int, expected: float) -> Floats:
        return expected / freedom * _chi_squares(rng, freedom, (draws, layout.rivals))

    return Crossed(
        mean=np.asarray(effects) + components.error(seeds, facts) * away,
        over_seeds=squares(seeds - 1, of_seeds),
        over_facts=squares(facts - 1, of_facts),
        rest=squares((seeds - 1) * (facts - 1), components.rest**2),
        seeds=seeds,
        facts=facts,
    )


def _chi_squares(rng: np.random.Generator, freedom: int, shape: tuple[int, int]) -> Floats:
    """Draw sums of squares `[draws, rivals]` of normals that are correlated by `SHARED`.

    Each normal is a common one and one of its own, c and o: the sum of squares needs |c|^2, the
    part of o along c, which is normal, and what is left of |o|^2.
    """
    common = rng.chisquare(freedom, (shape[0], 1))
    along = rng.standard_normal(shape)
    left = rng.chisquare(freedom - 1, shape) if freedom > 1 else np.zeros(shape)
    both = 2 * math.sqrt(SHARED * (1 - SHARED)) * np.sqrt(common) * along
    return np.asarray(SHARED * common + both + (1 - SHARED) * (along**2 + left))
