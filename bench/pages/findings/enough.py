"""How many seeds and facts would decide an open claim, by the spread that its cells show."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from bench.pages.findings.claim import Claim
from bench.pages.findings.design import CORRELATED, correlation_power
from bench.pages.findings.planned import BAR
from bench.pages.findings.power import Components, Layout, power
from bench.pages.findings.verdict import Unit, Verdict

POWER = 0.8
SEEDS = (5, 8, 12, 16, 24, 32, 48, 64, 96)
TIMES = (1, 2, 4, 8, 16)
"""How many times as many facts are tried."""

METHODS = 200
"""Most methods of a correlation that are tried."""

DRAWS = 500


def would_decide(claim: Claim) -> str:
    """Return a sentence about what would decide an open claim; empty for the others.

    It is empty too while seeds are missing: what scatters is not known then.

    It takes the smallest effect that counts to be the margin divided by `BAR`.
    """
    too_few = any(rival.seeds < claim.least_seeds for rival in claim.rivals)
    if claim.verdict is not Verdict.OPEN or not claim.effects or too_few:
        return ""
    if claim.effects[0].unit is Unit.CORRELATION:
        return _of_methods(claim)
    components = _components(claim)
    if components is None:
        return ""
    facts = min(rival.effects[0].facts for rival in claim.rivals)
    for layout in _layouts(claim, facts):
        found = power(components, layout, claim.margin, claim.margin / BAR, DRAWS)
        if min(found.yes, found.no) >= POWER:
            size = f"{layout.seeds} seeds of {layout.facts:,} facts or items"
            return (
                f"If values scatter as they do here, {size} would decide it with a power of at "
                f"least {POWER:g} for yes and for no."
            )
    return (
        f"If values scatter as they do here, not even {SEEDS[-1]} seeds of "
        f"{TIMES[-1] * facts:,} facts or items would decide it with a power of {POWER:g}."
    )


def _layouts(claim: Claim, facts: int) -> Iterator[Layout]:
    """Yield layouts, those of the fewest answers first."""
    sizes = sorted(product(SEEDS, TIMES), key=lambda size: (size[0] * size[1], size[0]))
    for seeds, times in sizes:
        yield Layout(
            seeds,
            facts * times,
            rivals=len(claim.rivals),
            settings=len(claim.settings),
            needs=claim.needs,
            two_sided=claim.two_sided,
        )


def _components(claim: Claim) -> Components | None:
    """Return the largest of each component over the rivals; None where one has no spread."""
    spreads = [[effect.spread for effect in rival.effects] for rival in claim.rivals]
    found = [
        Components.pooled([Components.behind(s) for s in of_rival if s is not None])
        for of_rival in spreads
        if None not in of_rival
    ]
    if len(found) < len(spreads):
        return None
    return Components(
        seed=max(one.seed for one in found),
        fact=max(one.fact for one in found),
        rest=max(one.rest for one in found),
    )


def _of_methods(claim: Claim) -> str:
    points = max(effect.facts for effect in claim.effects)
    bar = Unit.CORRELATION.written(claim.margin)
    for methods in range(points, METHODS + 1):
        found = correlation_power(CORRELATED, bar, methods)
        if min(found.yes, found.no) >= POWER:
            return (
                f"{methods} methods would decide it with a power of at least {POWER:g} for yes, at "
                f"a correlation of {CORRELATED:g}, and for no."
            )
    return ""
