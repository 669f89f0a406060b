"""What would decide an open claim: enough of it, and no word where a claim is decided."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bench.pages.findings.claim import Claim
from bench.pages.findings.effects import mean_of
from bench.pages.findings.enough import would_decide
from bench.pages.findings.power import Components, Layout, power
from bench.pages.findings.verdict import Unit, Verdict

MARGIN = 0.35


def claim(effect, seed, facts=64, seeds=8):
    rng = np.random.default_rng(3)
    table = rng.normal(size=(seeds, facts)) + seed * rng.normal(size=(seeds, 1))
    return Claim("it", (mean_of("a", "here", effect + table - table.mean(), Unit.EPOCHS),), MARGIN)


def test_the_layout_that_is_named_has_the_power_and_a_smaller_one_has_not():
    open_claim = claim(0.2, seed=0.8)
    assert open_claim.verdict is Verdict.OPEN
    said = would_decide(open_claim)
    seeds, facts = (int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:seeds|facts)", said))
    spread = open_claim.effects[0].spread
    components = Components.behind(spread)
    enough = power(components, Layout(seeds, facts), MARGIN, 0.5)
    less = power(components, Layout(seeds // 2, facts), MARGIN, 0.5)
    assert min(enough.yes, enough.no) > 0.75
    assert min(less.yes, less.no) < 0.8


def test_nothing_is_said_while_seeds_are_missing():
    assert would_decide(claim(0.2, seed=0.8, seeds=4)) == ""


def test_nothing_is_said_of_a_decided_claim():
    for effect in (0.0, 0.6):
        decided = claim(effect, seed=0.05)
        assert decided.verdict is not Verdict.OPEN
        assert would_decide(decided) == ""


def test_a_scatter_that_no_study_can_bear_is_told():
    assert "not even" in would_decide(claim(0.2, seed=30.0))


def test_the_components_behind_mean_squares_are_those_of_the_table():
    rng = np.random.default_rng(1)
    table = rng.normal(size=(400, 300)) + 2 * rng.normal(size=(400, 1)) + rng.normal(size=300) / 2
    found = Components.of(table)
    assert (found.seed, found.fact, found.rest) == pytest.approx((2, 0.5, 1), rel=0.1)
