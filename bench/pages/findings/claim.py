"""A claim and the effects that decide it: one for each rival, pooled over all settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np

from bench.pages.findings.verdict import (
    LEAST_SEEDS,
    Bar,
    Needs,
    Tested,
    Unit,
    Verdict,
    decide,
    denied,
    held,
    run_tests,
)
from bench.report.statistics.intervals import Crossed, Estimate, Interval, IntervalKind
from bench.report.statistics.pooled import Pooled


@dataclass(frozen=True, slots=True)
class Effect:
    """One comparison in one setting.

    Attributes:
        name: What was compared with what: a claim has one effect of a name in each setting.
        setting: Base, task and number of facts.
        estimate: The effect with its interval, a share or nats.
        p: The p-value of the hypothesis that the effect is `null`; None if it was not tested.
        seeds: How many seeds were measured.
        facts: How many facts, or items of a forgetting task, were measured.
        null: The value that is tested against.
        unit: How the effect is written.
        p_holm: The p-value after Holm's correction, of further comparisons that decide nothing.
        spread: The mean squares over seeds and facts. Without them an effect decides nothing:
            draws of a bootstrap, whose number anyone may choose, have none.
        top_share: The highest mean share of what is compared; 0 where it compares no shares.
    """

    name: str
    setting: str
    estimate: Estimate
    p: float | None
    seeds: int
    facts: int
    null: float = 0.0
    unit: Unit = Unit.POINTS
    p_holm: float | None = None
    spread: Crossed | None = None
    top_share: float = 0.0

    @property
    def value(self) -> float:
        """The estimate without its interval."""
        return self.estimate.value


@dataclass(frozen=True)
class Rival:
    """The effect against one rival in all settings of a claim.

    Attributes:
        name: The name that its effects share.
        effects: One for each setting that has it; at least one.
        bar: What they are held against.
        missing: Settings of the claim that lack it.
        planned: How many seeds the design asks of each setting; see `Claim`.
    """

    name: str
    effects: tuple[Effect, ...]
    bar: Bar
    missing: tuple[str, ...] = ()
    planned: Mapping[str, int] = field(default_factory=dict)

    @property
    def unit(self) -> Unit:
        """How the effect is written."""
        return self.effects[0].unit

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that it was measured in."""
        return tuple(effect.setting for effect in self.effects)

    @property
    def seeds(self) -> int:
        """The fewest seeds of any setting."""
        return min(effect.seeds for effect in self.effects)

    @property
    def facts(self) -> int:
        """The facts, or items, of all settings."""
        return sum(effect.facts for effect in self.effects)

    @property
    def unfinished(self) -> dict[str, tuple[int, int]]:
        """How many seeds were measured, of how many, in settings that lack some."""
        asked = {e.setting: self.planned.get(e.setting, LEAST_SEEDS) for e in self.effects}
        return {
            effect.setting: (effect.seeds, asked[effect.setting])
            for effect in self.effects
            if effect.seeds < asked[effect.setting]
        }

    @property
    def is_measured(self) -> bool:
        """Whether every setting was measured with all seeds that the design asks for."""
        tested = all(effect.spread is not None for effect in self.effects)
        return tested and not self.missing and not self.unfinished

    @cached_property
    def estimate(self) -> Estimate:
        """The pooled effect; its interval is about these settings, not about others."""
        value = float(np.mean([effect.value for effect in self.effects]))
        if len(self.effects) == 1:
            return self.effects[0].estimate
        if not self._spreads:
            return Estimate(value)
        half = float(Pooled.of(self._spreads).half_width())
        return Estimate(value, Interval(value - half, value + half, IntervalKind.SEEDS_AND_FACTS))

    @cached_property
    def tested(self) -> Tested | None:
        """What the rule looks at; None where there is too little to test."""
        if not self._spreads:
            return None
        top = max(effect.top_share for effect in self.effects)
        return run_tests(self._spreads, self.bar, self.is_measured, top)

    @property
    def p(self) -> float | None:
        """The two-sided p-value of no effect, uncorrected."""
        return None if self.tested is None else float(self.tested.p)

    @property
    def p_margin(self) -> float | None:
        """The one-sided p-value of "the effect is at least the margin", uncorrected."""
        return None if self.tested is None else float(self.tested.p_margin)

    @property
    def opposed(self) -> tuple[str, ...]:
        """Settings whose interval lies wholly on the other side than the claim says."""
        return tuple(e.setting for e in self.effects if self._is_opposed(e))

    @property
    def reaching(self) -> tuple[str, ...]:
        """Settings whose estimate reaches the margin."""
        values = np.array([effect.value for effect in self.effects])
        reached = self.bar.reached_by(values).tolist()
        return tuple(name for name, there in zip(self.settings, reached, strict=True) if there)

    @property
    def _spreads(self) -> list[Crossed]:
        """The mean squares of all settings; none unless there are two seeds and facts of each."""
        found = [effect.spread for effect in self.effects if effect.spread is not None]
        return found if len(found) == len(self.effects) else []

    def _is_opposed(self, effect: Effect) -> bool:
        if effect.spread is None:
            return False
        side = -1.0 if self.bar.two_sided and self.estimate.value < self.bar.null else 1.0
        half = float(effect.spread.half_width())
        return side * (float(effect.spread.mean) - self.bar.null) + half < 0


@dataclass(frozen=True)
class Claim:
    """A statement, and the effects that decide it by the rule of `bench.pages.findings.verdict`.

    Attributes:
        says: The statement, in words.
        outcome: What was measured, in words: `epochs to learn`.
        effects: One for each rival and setting, all of one primary outcome.
        margin: The bar that an effect must reach, in the effects' unit.
        needs: Whether the effect must hold against all rivals, or against any one.
        two_sided: Whether negative effects count as well.
        advice: What to do, for each verdict that leads to advice.
        planned: How many seeds the design asks of each setting, at least `LEAST_SEEDS` where it
            says nothing: before all have run, an effect decides nothing.
        least_rivals: With fewer rivals the claim is open.

    Raises:
        ValueError: Two effects have the same name and setting, so that it is open which decides.
    """

    says: str
    outcome: str
    effects: tuple[Effect, ...]
    margin: float
    needs: Needs = Needs.ALL
    two_sided: bool = False
    advice: Mapping[Verdict, str] = field(default_factory=dict)
    planned: Mapping[str, int] = field(default_factory=dict)
    least_rivals: int = 1

    def __post_init__(self) -> None:
        places = [(effect.name, effect.setting) for effect in self.effects]
        twice = next((place for place in places if places.count(place) > 1), None)
        if twice is not None:
            raise ValueError(
                f"claim '{self.says}' has two effects '{twice[0]}' in {twice[1]}: one effect "
                "for each rival decides, give the others as details"
            )

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings of the effects, in their order."""
        return tuple(dict.fromkeys(effect.setting for effect in self.effects))

    @cached_property
    def rivals(self) -> tuple[Rival, ...]:
        """The effects by rival, in their order."""
        by_name: dict[str, list[Effect]] = {}
        for effect in self.effects:
            by_name.setdefault(effect.name, []).append(effect)
        return tuple(self._rival(name, found) for name, found in by_name.items())

    @property
    def verdict(self) -> Verdict:
        """Judge the statement."""
        if not self.effects:
            return Verdict.NOT_RUN
        tested = self._tested
        if tested is None or len(self.rivals) < self.least_rivals:
            return Verdict.OPEN
        yes, no = (bool(flag) for flag in decide(tested, self.needs))
        return Verdict.NO if no else Verdict.YES if yes else Verdict.OPEN

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Judge the statement against each rival, with the corrections that the claim needs."""
        tested = self._tested
        if tested is None:
            return tuple(Verdict.OPEN for _ in self.rivals)
        marks = zip(held(tested, self.needs), denied(tested, self.needs), strict=True)
        return tuple(
            Verdict.YES if yes else Verdict.NO if no else Verdict.OPEN for yes, no in marks
        )

    @property
    def headline(self) -> Rival | None:
        """The rival whose pooled effect the verdict rests on.

        Of those that the verdict is true of, it is the one nearest to another verdict where the
        verdict needs all of them, and else the farthest.
        """
        verdict, found = self.verdict, zip(self.rivals, self.verdicts, strict=True)
        same = [rival for rival, own in found if own is verdict] or list(self.rivals)
        if not same:
            return None
        size = abs if self.two_sided else float
        pick = min if self.needs is Needs.ALL else max
        return pick(same, key=lambda rival: size(rival.estimate.value))

    def _rival(self, name: str, effects: Iterable[Effect]) -> Rival:
        found = tuple(effects)
        there = {effect.setting for effect in found}
        missing = tuple(setting for setting in self.settings if setting not in there)
        bar = Bar(self.margin, found[0].null, self.two_sided)
        return Rival(name, found, bar, missing, self.planned)

    @property
    def _tested(self) -> Tested | None:
        """What the rule looks at, `[rivals]`; None where no rival can be tested."""
        found = [rival.tested for rival in self.rivals]
        if all(tested is None for tested in found):
            return None
        known = [tested if tested is not None else _UNTESTED for tested in found]
        return Tested(
            *(np.array([getattr(t, each.name) for t in known]) for each in fields(Tested))
        )


_FALSE, _ONE = np.array(False), np.array(1.0)
_UNTESTED = Tested(_FALSE, _ONE, _ONE, _FALSE, _FALSE, _FALSE, _FALSE)
"""A rival that counts in the corrections and decides nothing."""


def present(effects: Iterable[Effect | None]) -> tuple[Effect, ...]:
    """Return the effects that could be computed."""
    return tuple(effect for effect in effects if effect is not None)
