"""What an open claim would need, and what power a decided one had, by the spread of its cells."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from bench.pages.findings.claim import Claim, Effect, Rival
from bench.pages.findings.design import correlation_power
from bench.pages.findings.planned import CORRELATED, smallest_that_counts
from bench.pages.findings.power import Components, Layout, power
from bench.pages.findings.tables import amount
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.statistics.intervals import IntervalKind

POWER = 0.8
SEEDS = (5, 8, 12, 16, 24, 32, 48, 64, 96)
TIMES = (1, 2, 4)
"""How many times as many facts are tried: the tasks have no more."""

METHODS = 200
"""Most methods of a correlation that are tried."""

DRAWS = 500


def would_decide(claim: Claim) -> str:
    """Return sentences about what would decide an open claim; empty for the others.

    It is empty too where something else keeps the claim open: seeds or settings that are missing,
    and settings that contradict each other. The components are those of few seeds, so the number
    is rough.

    It takes the smallest effect that counts as the design has it for this bar.
    """
    if claim.verdict is not Verdict.OPEN or any(map(_is_open_otherwise, claim.rivals)):
        return ""
    if claim.effects[0].unit is Unit.CORRELATION:
        return _of_methods(claim)
    components = _components(claim)
    if components is None:
        return ""
    unit = claim.effects[0].unit
    counts = smallest_that_counts(claim.margin, unit)
    at = f"for a yes at an effect of {amount(counts, unit)} and for a no at no effect"
    seeds = min(rival.seeds for rival in claim.rivals)
    if _enough(claim, components, seeds, 1):
        return (
            f"There were enough seeds and facts for a power of about {POWER:g} {at}. The effect "
            "seems to lie between the two, where this rule stays open whatever the size."
        )
    alone = all(e.estimate.interval and _over_seeds(e) for e in claim.effects)
    for more, times in _sizes(seeds, (1,) if alone else TIMES):
        if _enough(claim, components, more, times):
            return (
                f"If values scatter as they do here, {_said(more, times)} would have a power of "
                f"about {POWER:g} {at}. The spread is known from {seeds} seeds, so the number "
                "needed may be half or twice that. An effect between the two may stay open."
            )
    most = _said(SEEDS[-1], 1 if alone else TIMES[-1])
    return (
        f"If values scatter as they do here, not even {most} would have a power of {POWER:g} {at}."
    )


def power_as_seen(claim: Claim) -> str:
    """Say what power a decided claim had with the spread that was seen; empty for the others."""
    components = _components(claim) if claim.verdict in (Verdict.YES, Verdict.NO) else None
    unit = claim.effects[0].unit if claim.effects else Unit.CORRELATION
    if components is None or unit is Unit.CORRELATION:
        return ""
    counts = smallest_that_counts(claim.margin, unit)
    facts = min(effect.facts for effect in claim.effects)
    seeds = min(rival.seeds for rival in claim.rivals)
    found = power(components, _layout(claim, seeds, facts), claim.margin, counts)
    return (
        "If values scatter as they do here, these seeds and facts have a power of "
        f"{found.yes:.2f} for a yes at an effect of {amount(counts, unit)} and of {found.no:.2f} "
        f"for a no at no effect. The spread is known from {seeds} seeds."
    )


def _is_open_otherwise(rival: Rival) -> bool:
    some = 0 < len(rival.reaching) < len(rival.settings)
    return not rival.is_measured or bool(rival.opposed) or some


def _over_seeds(effect: Effect) -> bool:
    """Return whether a seed counts as one value, so that more facts are no remedy."""
    interval = effect.estimate.interval
    return interval is not None and interval.kind is IntervalKind.SEEDS


def _said(seeds: int, times: int) -> str:
    facts = {1: "as many facts", 2: "twice as many facts"}
    return f"{seeds} seeds of {facts.get(times, f'{times} times as many facts')}"


def _sizes(seeds: int, times: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield seeds and how many times as many facts, those of the fewest answers first."""
    tried = (size for size in product({seeds, *SEEDS}, times) if size[0] >= seeds)
    yield from sorted(tried, key=lambda size: (size[0] * size[1], size[0]))


def _enough(claim: Claim, components: Components, seeds: int, times: int) -> bool:
    """Return whether a size has the power for yes and for no."""
    facts = min(effect.facts for effect in claim.effects)
    counts = smallest_that_counts(claim.margin, claim.effects[0].unit)
    layout = _layout(claim, seeds, facts * times)
    found = power(components, layout, claim.margin, counts, DRAWS)
    return min(found.yes, found.no) >= POWER


def _layout(claim: Claim, seeds: int, facts: int) -> Layout:
    return Layout(
        seeds,
        facts,
        rivals=len(claim.rivals),
        settings=len(claim.settings),
        needs=claim.needs,
        two_sided=claim.two_sided,
        near_one=any(rival.tested is not None and rival.tested.near_one for rival in claim.rivals),
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
    return methods_needed(Unit.CORRELATION.written(claim.margin), points)


def methods_needed(bar: float, least: int) -> str:
    """Say how many methods would decide a claim about their correlation.

    Args:
        bar: The rule's margin, a correlation.
        least: The fewest that are tried.
    """
    for methods in range(max(least, 4), METHODS + 1):
        found = correlation_power(CORRELATED, bar, methods)
        if min(found.yes, found.no) >= POWER:
            return (
                f"{methods} methods would have a power of {POWER:g} for a yes at a correlation of "
                f"{CORRELATED:g} and for a no at no correlation."
            )
    return ""
