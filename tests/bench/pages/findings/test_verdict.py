"""How effects decide claims, and how effects are computed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.pages.findings.effects import (
    agresti_caffo,
    between,
    group_difference,
    paired,
    share,
    spread_table,
)
from bench.pages.findings.readme import findings_block
from bench.pages.findings.verdict import (
    Answer,
    Claim,
    Effect,
    Needs,
    Question,
    Verdict,
    corrected_answer,
)
from bench.report.statistics.intervals import Estimate, Interval, IntervalKind

YES, NO, OPEN = Verdict.YES, Verdict.NO, Verdict.OPEN


def effect(value, low, high, *, p=None, seeds=3, setting="here", null=0.0):
    p = (0.001 if low > null or high < null else 0.5) if p is None else p
    interval = Interval(low, high, IntervalKind.SEEDS_AND_FACTS)
    return Effect("a - b", setting, Estimate(value, interval), p, seeds, 64, null=null, p_holm=p)


CLEAR, SMALL, WIDE, AGAINST, MINOR = (
    effect(0.20, 0.12, 0.28),
    effect(0.00, -0.03, 0.03),
    effect(0.08, -0.04, 0.20),
    effect(-0.20, -0.28, -0.12),
    effect(0.03, 0.01, 0.06),
)


@pytest.mark.parametrize(
    ("found", "one_sided", "two_sided"),
    [
        (CLEAR, YES, YES),
        (SMALL, NO, NO),
        (WIDE, OPEN, OPEN),
        (AGAINST, NO, YES),
        (MINOR, OPEN, OPEN),
        (effect(0.20, 0.12, 0.28, p=0.2), OPEN, OPEN),
        (effect(0.20, 0.12, 0.28, seeds=2), OPEN, OPEN),
        (effect(0.00, -0.03, 0.03, seeds=1), OPEN, OPEN),
    ],
)
def test_one_effect_decides_by_interval_margin_and_seeds(found, one_sided, two_sided):
    assert Claim("c", (found,)).verdict is one_sided
    assert Claim("c", (found,), two_sided=True).verdict is two_sided
    opposite = {YES: NO, NO: YES, OPEN: OPEN}[one_sided]
    assert Claim("c", (found,), negated=True).verdict is opposite


def test_a_no_is_contested_where_another_setting_leans_to_yes():
    """Where an interval excludes none by itself, a no elsewhere is no ground for advice."""
    leans, elsewhere = effect(0.20, 0.02, 0.38, p=0.3, setting="there"), SMALL
    claim = Claim("c", (elsewhere, leans), advice={NO: "Do not"})
    assert (claim.verdict, claim.contested) == (NO, True)
    assert not Claim("c", (elsewhere, effect(0.08, -0.04, 0.20, setting="there"))).contested
    assert not Claim("c", (CLEAR,)).contested
    assert not Claim("c", (CLEAR,), negated=True).contested, "denied by what leans, rightly"
    question = Question("k", "t", "a", "c", "s", None, ())
    told = [findings_block([Answer(question, (c,))], "page") for c in (claim, agreed(claim))]
    assert [bool(text) for text in told] == [False, True]


def agreed(claim):
    return replace(claim, effects=(SMALL,))


def test_a_share_is_held_against_its_null():
    sure = effect(0.12, 0.08, 0.17, null=0.05)
    assert Claim("c", (sure,)).verdict is YES
    assert Claim("c", (effect(0.12, 0.03, 0.2, null=0.05),)).verdict is OPEN
    assert Claim("c", (effect(0.01, 0.0, 0.04, null=0.05),)).verdict is NO


@pytest.mark.parametrize(
    ("effects", "every", "some"),
    [
        ((CLEAR, CLEAR), YES, YES),
        ((CLEAR, SMALL), NO, YES),
        ((CLEAR, WIDE), OPEN, YES),
        ((SMALL, SMALL), NO, NO),
        ((SMALL, WIDE), NO, OPEN),
        ((WIDE, WIDE), OPEN, OPEN),
    ],
)
def test_effects_of_a_setting_are_joined(effects, every, some):
    assert Claim("c", effects).verdict is every
    assert Claim("c", effects, needs=Needs.ANY).verdict is some


def test_a_claim_over_several_controls_does_not_hold_without_them():
    assert Claim("c", (CLEAR,), least_effects=2).verdict is OPEN
    assert Claim("c", (SMALL,), least_effects=2).verdict is NO
    assert Claim("c", (CLEAR, CLEAR), least_effects=2).verdict is YES


def test_settings_abstain_or_disagree():
    yes, no, open_ = (
        effect(0.20, 0.12, 0.28, setting="yes"),
        effect(0.00, -0.03, 0.03, setting="no"),
        effect(0.08, -0.04, 0.20, setting="open"),
    )
    assert Claim("c", (open_, yes)).verdict is YES
    assert Claim("c", (open_, no)).verdict is NO
    both = Claim("c", (yes, no, open_))
    assert both.verdict is OPEN
    assert both.disagree
    assert not Claim("c", (yes, open_)).disagree


def test_the_headline_is_an_effect_that_the_verdict_rests_on():
    weaker = effect(0.15, 0.11, 0.19)
    assert Claim("c", (CLEAR, weaker)).headline is weaker
    assert Claim("c", (CLEAR, SMALL)).headline is SMALL
    other = effect(0.20, 0.12, 0.28, setting="there")
    assert Claim("c", (WIDE, other)).headline is other
    assert Claim("c", (CLEAR, AGAINST), needs=Needs.ANY, two_sided=True).headline in (
        CLEAR,
        AGAINST,
    )
    assert Claim("c", ()).headline is None
    assert Claim("c", ()).verdict is Verdict.NOT_RUN


def test_holm_counts_all_effects_that_decide_a_question_and_details_apart():
    question = Question("k", "t", "a?", "c", "s", YES, ())
    close = effect(0.20, 0.01, 0.28, p=0.03)
    claims = (Claim("one", (close,)), Claim("two", (close,)))
    found = corrected_answer(Answer(question, claims, details=(close,)))
    assert [e.p_holm for c in found.claims for e in c.effects] == [0.06, 0.06]
    assert found.claims[0].verdict is OPEN
    assert [e.p_holm for e in found.details] == [0.03]
    alone = corrected_answer(Answer(question, claims[:1]))
    assert alone.verdict is YES
    assert not alone.contradicts
    assert corrected_answer(Answer(question, (Claim("no", (SMALL,)),))).contradicts


def test_groups_differ_by_their_means_and_vary_by_both():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 50))
    first, second = np.arange(50) < 12, np.arange(50) >= 30
    table = group_difference(values, first, second)
    assert table.shape == (3, 32)
    one, other = values[:, first], values[:, second]
    np.testing.assert_allclose(table.mean(axis=1), one.mean(axis=1) - other.mean(axis=1))
    of_mean = table[0].var() / 32
    assert of_mean == pytest.approx(one[0].var() / 12 + other[0].var() / 20)


def test_group_differences_hold_their_coverage_and_groups_that_agree_have_a_width():
    rng = np.random.default_rng(1)
    first = np.arange(64) < 13
    covered = 0
    for _ in range(300):
        chance = rng.beta(3, 1, 64) + rng.normal(0, 0.05, (3, 1))
        found = between("", "", (rng.random((3, 64)) < chance).astype(float), first, ~first)
        covered += found.estimate.interval.low <= 0 <= found.estimate.interval.high
    assert covered / 300 >= 0.93
    agree = between("", "", np.ones((3, 64)), first, ~first).estimate.interval
    assert agree == agresti_caffo(np.ones(13), np.ones(51))
    assert agree.low < -0.05 < 0.05 < agree.high
    assert between("", "", np.ones((3, 64)), np.arange(64) == 0, first) is None


def test_agresti_and_caffo_add_a_right_and_a_wrong_fact_to_each_group():
    found = agresti_caffo(np.array([1.0] * 7 + [0.0]), np.array([1.0] * 1 + [0.0] * 7))
    error = math.sqrt(0.8 * 0.2 / 10 + 0.2 * 0.8 / 10)
    expected = (0.6 - 1.959964 * error, 0.6 + 1.959964 * error)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-6)


def test_a_spread_table_has_the_standard_deviation_as_its_mean():
    rng = np.random.default_rng(2)
    methods = [(rng.random((3, 40)) < chance).astype(float) for chance in (0.5, 0.7, 0.9)]
    table = spread_table(methods)
    assert table.shape == (3, 40)
    assert table.mean() == pytest.approx(np.std([m.mean() for m in methods], ddof=1))
    assert not spread_table([methods[0], methods[0]]).any()


def test_equal_answers_have_a_width_unless_they_are_one_training():
    same = np.ones((3, 30))
    assert paired("", "", same, same).estimate.interval.high > 0.05
    exact = paired("", "", same, same, identical=True).estimate.interval
    assert (exact.low, exact.high) == (0.0, 0.0)
    assert share("", "", np.zeros((3, 30)), 0.05).estimate.interval.high > 0.05
