"""An answer: its claims, the effects that decide them, and the rule they follow.

An effect is a mean over seeds and facts with a 95% confidence interval and a p-value, see
`bench.report.statistics.intervals`. A claim says that its effects are at least `margin`, the
smallest effect of interest. The rule for each effect:

- yes: the interval excludes `null`, p is at most 0.05 after Holm's correction over all effects
  that decide the question, and the value reaches the margin;
- no: the whole interval lies below the margin, so that any effect would be too small to matter;
- not decidable: everything else, and every effect measured with fewer than three seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from bench.report.statistics.comparison import LEVEL, holm
from bench.report.statistics.intervals import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_SEEDS = 3
"""An effect measured with fewer seeds is not decidable."""

POINTS = 0.05
"""The smallest difference of interest between methods: five percentage points."""

WIDE_POINTS = 0.10
"""The smallest difference of interest between groups of facts, which are smaller."""


class Verdict(StrEnum):
    """What the results say about a claim; a closed set."""

    YES = "yes"
    NO = "no"
    OPEN = "not decidable at this scale"
    NOT_RUN = "not run yet"


class Unit(StrEnum):
    """How an effect is written."""

    POINTS = "points"
    PERCENT = "percent"
    NATS = "nats"


class Needs(StrEnum):
    """How many effects of one setting must hold for a claim to hold there."""

    ALL = "all"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Effect:
    """One comparison in one setting.

    Attributes:
        name: What was compared with what.
        setting: Base, task and number of facts.
        estimate: The effect with its interval, a share or nats.
        p: The p-value of the hypothesis that the effect is `null`; None if it was not tested.
        seeds: How many seeds were measured.
        facts: How many facts, or items of a forgetting task, were measured.
        null: The value that is tested against.
        unit: How the effect is written.
        p_holm: The p-value after Holm's correction.
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

    @property
    def value(self) -> float:
        """The estimate without its interval."""
        return self.estimate.value


@dataclass(frozen=True)
class Claim:
    """A statement, and the effects that decide it.

    Attributes:
        says: The statement, in words.
        effects: What decides it, in any number of settings.
        margin: The smallest effect of interest, in the effects' unit.
        needs: Whether all effects of a setting must hold, or any one.
        two_sided: Whether negative effects count as well.
        negated: The statement holds where the effects do not: "it matches" means "no loss".
        advice: What to do, for each verdict that leads to advice.
        least_seeds: An effect with fewer seeds is not decidable.
        least_effects: With fewer comparisons in a setting the statement cannot hold there.
    """

    says: str
    effects: tuple[Effect, ...]
    margin: float = POINTS
    needs: Needs = Needs.ALL
    two_sided: bool = False
    negated: bool = False
    advice: Mapping[Verdict, str] = field(default_factory=dict)
    least_seeds: int = LEAST_SEEDS
    least_effects: int = 1

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings of the effects, in their order."""
        return tuple(dict.fromkeys(effect.setting for effect in self.effects))

    def verdict_of(self, effect: Effect) -> Verdict:
        """Judge the statement by one effect."""
        found = self._raw(effect)
        return _opposite(found) if self.negated else found

    def verdict_in(self, setting: str) -> Verdict:
        """Judge the statement in one setting."""
        found = [self._raw(effect) for effect in self.effects if effect.setting == setting]
        strong, weak = (
            (Verdict.NO, Verdict.YES) if self.needs is Needs.ALL else (Verdict.YES, Verdict.NO)
        )
        decided = strong if strong in found else weak if set(found) == {weak} else Verdict.OPEN
        if decided is Verdict.YES and len(found) < self.least_effects:
            decided = Verdict.OPEN
        return _opposite(decided) if self.negated else decided

    @property
    def verdict(self) -> Verdict:
        """Judge the statement: undecidable settings abstain, all others must agree."""
        if not self.effects:
            return Verdict.NOT_RUN
        found = {self.verdict_in(setting) for setting in self.settings} - {Verdict.OPEN}
        return found.pop() if len(found) == 1 else Verdict.OPEN

    @property
    def disagree(self) -> bool:
        """Whether some settings say yes and others no."""
        return {Verdict.YES, Verdict.NO} <= {self.verdict_in(name) for name in self.settings}

    @property
    def contested(self) -> bool:
        """Whether the verdict is no while one effect, by itself, speaks for a yes."""
        denied = self.verdict is Verdict.NO and not self.negated
        return denied and any(map(self._leans, self.effects))

    @property
    def headline(self) -> Effect | None:
        """The effect that the verdict rests on, from the first setting with that verdict."""
        verdict = self.verdict
        settings = [name for name in self.settings if self.verdict_in(name) is verdict]
        chosen = (settings or list(self.settings))[:1]
        found = [effect for effect in self.effects if effect.setting in chosen]
        same = [effect for effect in found if self.verdict_of(effect) is verdict] or found
        if not same:
            return None
        size = abs if self.two_sided else float
        pick = min if self.needs is Needs.ALL else max
        return pick(same, key=lambda effect: size(effect.value))

    def _raw(self, effect: Effect) -> Verdict:
        interval = effect.estimate.interval
        if interval is None or effect.p_holm is None or effect.seeds < self.least_seeds:
            return Verdict.OPEN
        if self._leans(effect) and effect.p_holm <= LEVEL:
            return Verdict.YES
        small = interval.high < self.margin
        if self.two_sided:
            small = small and interval.low > -self.margin
        return Verdict.NO if small else Verdict.OPEN

    def _leans(self, effect: Effect) -> bool:
        """Return whether an effect reaches the margin and its interval excludes `null`."""
        interval = effect.estimate.interval
        if interval is None:
            return False
        apart = interval.low > effect.null or (self.two_sided and interval.high < effect.null)
        size = abs(effect.value) if self.two_sided else effect.value
        return apart and size >= self.margin


def _opposite(verdict: Verdict) -> Verdict:
    return {Verdict.YES: Verdict.NO, Verdict.NO: Verdict.YES}.get(verdict, verdict)


@dataclass(frozen=True)
class Picture:
    """A picture of the page: its file name without ending, its caption, and what draws it."""

    name: str
    caption: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Question:
    """A question, fixed before any result.

    Attributes:
        key: Names its section and its pictures.
        title: The question in a few words.
        asks: The whole question.
        compared: What is compared with what, and how.
        source: The paper that makes the claim, with its arXiv id.
        expected: The paper's verdict on the first claim; None if it makes no statement.
        grids: Names of the grid files whose cells answer it.
    """

    key: str
    title: str
    asks: str
    compared: str
    source: str
    expected: Verdict | None
    grids: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What the results say about a question; the first claim answers it.

    Attributes:
        question: The question.
        claims: At least one.
        details: Further effects, corrected among themselves, that decide nothing.
        measured: Values that were not tested.
        caveats: What a reader must know about these results.
        pictures: Pictures for its section.
    """

    question: Question
    claims: tuple[Claim, ...]
    details: tuple[Effect, ...] = ()
    measured: tuple[Effect, ...] = ()
    caveats: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict on the first claim."""
        return self.claims[0].verdict

    @property
    def contradicts(self) -> bool:
        """Whether the verdict is the opposite of what the paper says."""
        expected = self.question.expected
        return expected is not None and self.verdict is _opposite(expected) is not expected


def corrected_answer(answer: Answer) -> Answer:
    """Apply Holm's correction to the deciding effects, and separately to the details."""
    decisive = _holm([effect for claim in answer.claims for effect in claim.effects])
    claims, start = [], 0
    for claim in answer.claims:
        end = start + len(claim.effects)
        claims.append(replace(claim, effects=tuple(decisive[start:end])))
        start = end
    return replace(answer, claims=tuple(claims), details=tuple(_holm(answer.details)))


def _holm(effects: Sequence[Effect]) -> list[Effect]:
    tested = [effect.p for effect in effects if effect.p is not None]
    adjusted = iter(holm(np.array(tested)))
    return [e if e.p is None else replace(e, p_holm=next(adjusted)) for e in effects]


def present(effects: Iterable[Effect | None]) -> tuple[Effect, ...]:
    """Return the effects that could be computed."""
    return tuple(effect for effect in effects if effect is not None)
