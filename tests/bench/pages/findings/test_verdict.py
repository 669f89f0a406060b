"""How pooled effects decide claims: the rule, case by case."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from bench.pages.findings.answer import Answer, Question, corrected_answer
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.readme import findings_block
from bench.pages.findings.tables import said
from bench.pages.findings.verdict import Bar, Needs, Verdict, run_tests
from bench.report.statistics.intervals import Crossed, Estimate, Interval, IntervalKind
from bench.report.statistics.pooled import Pooled

YES, NO, OPEN = Verdict.YES, Verdict.NO, Verdict.OPEN
FACTS = 64


def spread(value, error, seeds=5):
    """Mean squares of a mean with that standard error, half of it from seeds, half from facts."""
    part = np.asarray(error**2 / 2 * seeds * FACTS)
    return Crossed(np.asarray(value), part, part, np.asarray(0.0), seeds, FACTS)


def effect(value, error, *, name="a - b", seeds=5, setting="here", null=0.0, top=0.8):
    found = spread(value, error, seeds)
    half = float(found.half_width())
    interval = Interval(value - half, value + half, IntervalKind.SEEDS_AND_FACTS)
    estimate = Estimate(value, interval)
    return Effect(
        name, setting, estimate, 0.5, seeds, FACTS, null=null, spread=found, top_share=top
    )


def claim_of(effects, says="c", **changes):
    return Claim(says, "share answered", effects, **{"margin": 0.05, **changes})


def rivals(*effects):
    """The effects as those of one rival each."""
    return tuple(
        effect(e.value, ERROR[id(e)], name=f"a - {place}") for place, e in enumerate(effects)
    )


def made(value, error):
    found = effect(value, error)
    ERROR[id(found)] = error
    return found


ERROR: dict[int, float] = {}
CLEAR, SMALL, WIDE, AGAINST, MINOR = (
    made(0.20, 0.02),
    made(0.00, 0.01),
    made(0.08, 0.06),
    made(-0.20, 0.02),
    made(0.03, 0.01),
)


@pytest.mark.parametrize(
    ("found", "one_sided", "two_sided"),
    [
        (CLEAR, YES, YES),
        (SMALL, NO, NO),
        (WIDE, OPEN, OPEN),
        (AGAINST, NO, YES),
        (MINOR, OPEN, OPEN),
        (effect(0.20, 0.02, seeds=4), OPEN, OPEN),
        (effect(0.00, 0.001, seeds=2), OPEN, OPEN),
    ],
)
def test_one_effect_decides_by_its_tests_its_margin_and_its_seeds(found, one_sided, two_sided):
    assert claim_of((found,)).verdict is one_sided
    assert claim_of((found,), two_sided=True).verdict is two_sided


def test_what_has_no_mean_squares_decides_nothing():
    """An interval alone, such as that of a share of bootstrap draws, is shown and not tested."""
    drawn = Effect("stable", "here", Estimate(0.9, CLEAR.estimate.interval), None, 1000, 1)
    assert claim_of((drawn,)).verdict is OPEN
    both = claim_of((CLEAR, drawn), needs=Needs.ANY)
    assert (both.verdict, both.verdicts) == (YES, (YES, OPEN))


def test_a_share_is_held_against_its_null():
    assert claim_of((effect(0.12, 0.01, null=0.05),)).verdict is YES
    assert claim_of((effect(0.12, 0.04, null=0.05),)).verdict is OPEN
    assert claim_of((effect(0.01, 0.005, null=0.05),)).verdict is NO


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
def test_rivals_are_joined(effects, every, some):
    assert claim_of(rivals(*effects)).verdict is every
    assert claim_of(rivals(*effects), needs=Needs.ANY).verdict is some


def test_all_corrects_its_no_and_any_its_yes():
    """An effect whose own tests only just succeed fails where another rival is as close."""
    close_yes = next(e for e in _errors(0.08) if _tested(e).p > 0.03)
    close_no = next(e for e in _errors(0.0) if _tested(e).p_margin > 0.015)
    pairs = [rivals(one, WIDE) for one in (close_yes, close_no)]
    alone = [claim_of((one,)).verdict for one in (close_yes, close_no)]
    assert alone == [YES, NO]
    assert claim_of(pairs[0], needs=Needs.ANY).verdict is OPEN, "corrected"
    assert claim_of(pairs[1]).verdict is OPEN, "corrected"
    twice = [rivals(one, one) for one in (close_yes, close_no)]
    assert claim_of(twice[0]).verdict is YES, "every rival must be above: nothing to correct"
    assert claim_of(twice[1], needs=Needs.ANY).verdict is NO, "none may be: nothing to correct"


def _errors(value):
    """Effects of growing standard errors, while they still decide a claim."""
    for step in range(200):
        found = made(value, 0.005 + step * 0.0005)
        if claim_of((found,)).verdict is OPEN:
            return
        yield found


def _tested(found):
    return run_tests([found.spread], Bar(0.05), True, 0.0)


def test_near_one_a_no_needs_more():
    close = next(e for e in _errors(0.0) if _tested(e).p_margin > 0.01)
    high = effect(close.value, ERROR[id(close)], top=0.95)
    assert [claim_of((found,)).verdict for found in (close, high)] == [NO, OPEN]
    sure = effect(0.0, 0.005, top=0.95)
    assert claim_of((sure,)).verdict is NO


def test_a_claim_over_several_rivals_is_open_without_them():
    assert claim_of((CLEAR,), least_rivals=2).verdict is OPEN
    assert claim_of((SMALL,), least_rivals=2).verdict is OPEN
    assert claim_of(rivals(CLEAR, CLEAR), least_rivals=2).verdict is YES


def test_settings_are_pooled_and_none_abstains():
    here, there = effect(0.20, 0.02), effect(0.02, 0.02, setting="there")
    claim = claim_of((here, there))
    [rival] = claim.rivals
    assert rival.estimate.value == pytest.approx(0.11)
    assert claim.verdict is YES, "0.11 with half the error of the sum"
    unclear = effect(0.0, 0.3, setting="there")
    assert claim_of((here, unclear)).verdict is OPEN, "it does not drop out"


def test_a_setting_on_the_other_side_blocks_a_yes():
    other = effect(-0.05, 0.01, setting="there")
    claim = claim_of((effect(0.30, 0.02), other))
    assert claim.rivals[0].p < 0.001
    assert claim.verdict is OPEN
    assert claim.rivals[0].opposed == ("there",)
    assert any("there" in line for line in said(claim))


def test_a_setting_whose_estimate_reaches_the_margin_blocks_a_no():
    reaching = effect(0.05, 0.01, setting="there")
    claim = claim_of((effect(-0.10, 0.01), reaching))
    assert claim.rivals[0].p_margin < 0.001
    assert claim.verdict is OPEN
    assert claim.rivals[0].reaching == ("there",)
    below = effect(0.04, 0.01, setting="there")
    assert claim_of((effect(-0.10, 0.01), below)).verdict is NO


def test_a_rival_that_some_setting_lacks_decides_nothing():
    two = (effect(0.2, 0.02, name="x"), effect(0.2, 0.02, name="x", setting="there"))
    assert claim_of(two).verdict is YES
    lacking = claim_of((*two, effect(0.2, 0.02, name="y")))
    assert (lacking.verdict, lacking.verdicts) == (OPEN, (YES, OPEN))
    assert lacking.rivals[1].missing == ("there",)
    few = claim_of((two[0], effect(0.2, 0.02, name="x", setting="there", seeds=4)))
    assert few.verdict is OPEN, "five seeds in every setting"


def test_two_effects_for_one_rival_and_setting_are_refused():
    with pytest.raises(ValueError, match="two effects 'a - b' in here"):
        claim_of((CLEAR, SMALL))


def test_the_headline_is_a_pooled_effect_that_the_verdict_rests_on():
    weaker = made(0.15, 0.02)
    assert claim_of(rivals(CLEAR, weaker)).headline.estimate.value == weaker.value
    assert claim_of(rivals(CLEAR, SMALL)).headline.estimate.value == SMALL.value
    assert claim_of(rivals(CLEAR, weaker), needs=Needs.ANY).headline.name == "a - 0"
    other = effect(0.10, 0.02, setting="there")
    pooled = claim_of((CLEAR, other)).headline
    assert pooled.estimate.value == pytest.approx(0.15)
    half = Pooled.of([CLEAR.spread, other.spread]).half_width()
    assert pooled.estimate.interval.high == pytest.approx(0.15 + half)
    assert claim_of(()).headline is None
    assert claim_of(()).verdict is Verdict.NOT_RUN


QUESTION = Question("k", "t", "a?", "c", "s", YES, ())


def test_holm_corrects_details_apart_from_what_decides():
    close = Effect("a - b", "here", Estimate(0.2), 0.03, 5, FACTS)
    details = (close, close)
    found = corrected_answer(Answer(QUESTION, (claim_of((CLEAR,), "one"),), details=details))
    assert [e.p_holm for e in found.details] == [0.06, 0.06]
    assert found.verdict is YES
    assert not found.contradicts
    assert corrected_answer(Answer(QUESTION, (claim_of((SMALL,), "no"),))).contradicts


def test_only_the_primary_claim_advises():
    advised = claim_of((CLEAR,), advice={YES: "Do"})
    open_ = claim_of((WIDE,), advice={YES: "Do"})
    told = [
        findings_block([Answer(QUESTION, claims)], "page")
        for claims in ((advised, open_), (open_, advised))
    ]
    assert ["**Do.**" in text for text in told] == [True, False]


def test_advice_on_methods_comes_before_advice_on_facts_and_in_each_a_yes_before_a_no():
    def told(effects, verdict, method=""):
        question = replace(QUESTION, title=f"{verdict} {method}".strip(), method=method)
        return Answer(question, (claim_of(effects, advice={verdict: "Do"}),))

    block = findings_block(
        [told((CLEAR,), YES, "lora"), told((SMALL,), NO), told((CLEAR,), YES)], "page"
    )
    assert re.findall(r"\(\[([a-z ]+)\]\(page#", block) == ["yes", "no", "yes lora"]
