"""The rule that decides claims, on numbers alone.

A claim says that a method's effect against each of its rivals is at least a margin, the design's
bar. There is one primary outcome and one effect for each rival, both fixed before
the run, and every effect is pooled over all settings: no setting abstains.

- yes: each effect has p of at most 0.05 and an estimate of at least the margin, and no setting's
  interval lies wholly on the other side;
- no: for some rival, p of "the effect is at least the margin" is at most 0.025 after Holm's
  correction over the rivals (0.005 where a mean share is above 90 %), and no setting's estimate of
  that effect reaches the margin;
- not decidable: everything else.

A claim about any one rival corrects its yes over the rivals, and its no, which all rivals must
give, not. Effects that were measured with fewer seeds than the design asks for in some setting, or
are missing in one, decide nothing. A yes says "above zero, and estimated at the margin or more".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from bench.report.statistics.comparison import LEVEL, holm
from bench.report.statistics.intervals import Crossed, Floats
from bench.report.statistics.pooled import Pooled

LEAST_SEEDS = 5
"""The fewest seeds that the design asks of any effect."""

DENIED = LEVEL / 2
"""The level of the one-sided test that denies a claim."""

DENIED_NEAR_ONE = 0.005
"""The same where a mean share is above `NEAR_ONE`: there the test errs too often."""

NEAR_ONE = 0.9

ROUNDING = 1e-9
"""Means that fall short of the margin by less reach it."""

Flags = NDArray[np.bool_]


class Verdict(StrEnum):
    """What the results say about a claim; a closed set."""

    YES = "yes"
    NO = "no"
    OPEN = "not decidable at this scale"
    NOT_RUN = "not run yet"

    @property
    def opposite(self) -> Verdict:
        """No for yes and yes for no; the others as they are."""
        return {Verdict.YES: Verdict.NO, Verdict.NO: Verdict.YES}.get(self, self)


class Unit(StrEnum):
    """How an effect is written."""

    POINTS = "points"
    PERCENT = "percent"
    NATS = "nats"
    EPOCHS = "epochs"
    LOG_RATIO = "log ratio"
    """A logarithm; written as the ratio, so many times."""
    DOSE = "dose"
    """Epochs to learn themselves, not a difference."""
    DISTANCE = "semantic distance"
    CORRELATION = "correlation"
    """On Fisher's scale, the inverse hyperbolic tangent of r; written as r."""

    def written(self, value: float) -> float:
        """Return a value as it is written: shares in percent, correlations as r, ratios."""
        if self is Unit.CORRELATION:
            return math.tanh(value)
        if self is Unit.LOG_RATIO:
            return math.exp(value)
        return 100 * value if self in (Unit.POINTS, Unit.PERCENT) else value


class Needs(StrEnum):
    """For how many rivals a claim must hold."""

    ALL = "all"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Tested:
    """Everything that the rule looks at, for each rival.

    Attributes:
        enough: Whether every setting was measured with enough seeds.
        p: The two-sided p of no effect.
        p_margin: The one-sided p of "the effect is at least the margin".
        reaches: Whether the pooled estimate reaches the margin.
        some_reach: Whether any setting's estimate does.
        opposed: Whether some setting's interval lies wholly on the other side.
        near_one: Whether a mean share is above `NEAR_ONE`.
    """

    enough: Flags
    p: Floats
    p_margin: Floats
    reaches: Flags
    some_reach: Flags
    opposed: Flags
    near_one: Flags


@dataclass(frozen=True, slots=True)
class Bar:
    """What an effect is held against.

    Attributes:
        margin: The design's bar, in the effect's unit.
        null: The value that means no effect.
        two_sided: Whether negative effects count as well.
    """

    margin: float
    null: float = 0.0
    two_sided: bool = False

    def reached_by(self, values: Floats) -> Flags:
        """Return whether estimates reach the margin."""
        size = np.abs(values) if self.two_sided else values
        return np.asarray(size >= self.margin - ROUNDING)


def run_tests(
    settings: Sequence[Crossed], bar: Bar, enough: Flags | bool, top_share: Floats | float
) -> Tested:
    """Test effects `[...]` that are pooled over settings.

    Args:
        settings: The effects `[...]` of each setting.
        bar: What they are held against.
        enough: Whether every setting was measured, with enough seeds.
        top_share: The highest mean share of what is compared, over all settings; 0 where the
            effects are no differences of shares.
    """
    pooled = Pooled.of(settings)
    p_margin = pooled.p_at_least(bar.margin)
    if bar.two_sided:
        p_margin = np.maximum(p_margin, pooled.p_at_most(-bar.margin))
    side = np.where(bar.two_sided & (pooled.mean < bar.null), -1.0, 1.0)
    lean = np.stack([side * (one.mean - bar.null) + one.half_width() for one in settings])
    shape = pooled.mean.shape
    return Tested(
        enough=np.broadcast_to(enough, shape),
        p=pooled.p(bar.null),
        p_margin=p_margin,
        reaches=bar.reached_by(pooled.mean),
        some_reach=np.any([bar.reached_by(one.mean) for one in settings], axis=0),
        opposed=np.any(lean < 0, axis=0),
        near_one=np.broadcast_to(np.asarray(top_share) > NEAR_ONE, shape),
    )


def held(tested: Tested, needs: Needs) -> Flags:
    """Return for which rivals `[..., rivals]` a claim is supported, so far as it needs them."""
    p = np.where(tested.enough, tested.p, 1.0)
    p = _holm(p) if needs is Needs.ANY else p
    return np.asarray(tested.enough & (p <= LEVEL) & tested.reaches & ~tested.opposed)


def denied(tested: Tested, needs: Needs) -> Flags:
    """Return for which rivals `[..., rivals]` a claim is denied, so far as it needs them."""
    p = np.where(tested.enough, tested.p_margin, 1.0)
    p = _holm(p) if needs is Needs.ALL else p
    level = np.where(tested.near_one, DENIED_NEAR_ONE, DENIED)
    return np.asarray(tested.enough & (p <= level) & ~tested.some_reach)


def decide(tested: Tested, needs: Needs) -> tuple[Flags, Flags]:
    """Return whether claims `[...]` hold, and whether they are denied: never both."""
    for_yes, for_no = held(tested, needs), denied(tested, needs)
    if needs is Needs.ALL:
        return np.asarray(for_yes.all(axis=-1)), np.asarray(for_no.any(axis=-1))
    return np.asarray(for_yes.any(axis=-1)), np.asarray(for_no.all(axis=-1))


def _holm(ps: Floats) -> Floats:
    """Correct `[..., rivals]` over the rivals."""
    return np.asarray(np.apply_along_axis(lambda family: np.array(holm(family)), -1, ps))
