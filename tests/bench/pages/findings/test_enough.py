"""What would decide an open claim: enough of it, and no word where a claim is decided."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from bench.pages.findings.claim import Claim
from bench.pages.findings.effects import mean_of, over_seeds
from bench.pages.findings.enough import power_as_seen, would_decide
from bench.pages.findings.power import Components, Layout, power
from bench.pages.findings.verdict import Unit, Verdict

MARGIN = 0.35


def claim(effect, seed, facts=64, seeds=8, **changes):
    rng = np.random.default_rng(3)
    table = rng.normal(size=(seeds, facts)) + seed * rng.normal(size=(seeds, 1))
    found = mean_of("a", "here", effect + table - table.mean(), Unit.EPOCHS)
    return Claim("it", "epochs to learn", (replace(found, **changes),), MARGIN)


def test_the_layout_that_is_named_has_the_power_and_a_smaller_one_has_not():
    open_claim = claim(0.2, seed=0.8)
    assert open_claim.verdict is Verdict.OPEN
    said = would_decide(open_claim)
    [seeds] = (int(n) for n in re.findall(r"here, (\d+) seeds of as many facts", said))
    components = Components.behind(open_claim.effects[0].spread)
    enough = power(components, Layout(seeds, 64), MARGIN, 0.5)
    less = power(components, Layout(seeds // 2, 64), MARGIN, 0.5)
    assert min(enough.yes, enough.no) > 0.75
    assert min(less.yes, less.no) < 0.8
    assert "known from 8 seeds" in said


def test_a_larger_study_is_not_asked_for_where_the_size_was_enough():
    between = claim(0.25, seed=0.3, seeds=12)
    assert between.verdict is Verdict.OPEN
    said = would_decide(between)
    assert said.startswith("There were enough seeds and facts")
    assert "lie between" in said


def test_more_facts_are_no_remedy_where_a_seed_counts_as_one_value():
    rng = np.random.default_rng(0)
    values = [rng.normal(0.3 + 0.9 * rng.normal(), 0.8, 30) for _ in range(12)]
    alone = Claim("it", "epochs to learn", (over_seeds("a", "here", values, Unit.EPOCHS),), MARGIN)
    assert alone.verdict is Verdict.OPEN
    assert "seeds of as many facts" in would_decide(alone)


def test_nothing_is_said_where_something_else_keeps_a_claim_open():
    assert would_decide(claim(0.2, seed=0.8, seeds=4)) == "", "seeds are missing"
    some = claim(0.2, seed=0.8)
    planned = replace(some, planned={"here": 12})
    assert would_decide(planned) == "", "seeds of the design are missing"
    other = replace(some.effects[0], name="b", setting="there")
    apart = replace(some, effects=(*some.effects, other))
    assert would_decide(apart) == "", "each lacks a setting"
    low, high = claim(-2.0, seed=0.3).effects[0], claim(2.0, seed=0.3).effects[0]
    against = replace(some, effects=(low, replace(high, setting="there")))
    assert against.verdict is Verdict.OPEN
    assert would_decide(against) == "", "settings contradict each other"


def test_nothing_is_said_of_a_decided_claim():
    for effect in (0.0, 0.6):
        decided = claim(effect, seed=0.05)
        assert decided.verdict is not Verdict.OPEN
        assert would_decide(decided) == ""


def test_a_decided_claim_says_what_power_it_had_and_an_open_one_does_not():
    decided = claim(0.6, seed=0.05)
    found = power(Components.behind(decided.effects[0].spread), Layout(8, 64), MARGIN, 0.5)
    said = power_as_seen(decided)
    assert f"power of {found.yes:.2f} for a yes at an effect of 0.5 epochs" in said
    assert f"of {found.no:.2f} for a no at no effect" in said
    assert power_as_seen(claim(0.2, seed=0.8)) == ""
    assert power_as_seen(replace(decided, effects=())) == ""


def test_a_scatter_that_no_study_can_bear_is_told():
    assert "not even" in would_decide(claim(0.2, seed=30.0))


def test_the_components_behind_mean_squares_are_those_of_the_table():
    rng = np.random.default_rng(1)
    table = rng.normal(size=(400, 300)) + 2 * rng.normal(size=(400, 1)) + rng.normal(size=300) / 2
    found = Components.of(table)
    assert (found.seed, found.fact, found.rest) == pytest.approx((2, 0.5, 1), rel=0.1)
