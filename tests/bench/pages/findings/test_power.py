"""Power by simulation, held against tables that are drawn in full, and against a published one."""

from __future__ import annotations

import numpy as np
import pytest

from bench.pages.findings.power import (
    SHARED,
    Components,
    Layout,
    chances,
    drawn,
    power,
)
from bench.pages.findings.verdict import Bar, Needs, decide, run_tests
from bench.report.statistics.crossed import Crossed

AGREED = Components(seed=3.15, fact=17.6, rest=48.3)
SCATTERED = Components(seed=7.0, fact=17.6, rest=48.3)
"""Of shares learned at the half dose, in points: of two tasks, and pooled over three."""

PUBLISHED = {
    (3, 64): ((17.5, 0.09, 0.27), (23, 0.07, 0.17)),
    (5, 256): ((5.8, 0.42, 0.94), (9.7, 0.19, 0.57)),
    (8, 512): ((3.5, 0.82, 1.0), (6.3, 0.37, 0.89)),
    (10, 1024): ((2.7, 0.96, 1.0), (5.2, 0.49, 0.97)),
}
"""By seeds and facts: half-widths, and the power to tell 5 and 10 points from 0, to two digits."""


@pytest.mark.parametrize(("seeds", "facts"), PUBLISHED)
def test_the_table_of_the_audit_is_found_again(seeds, facts):
    for parts, known in zip((AGREED, SCATTERED), PUBLISHED[seeds, facts], strict=True):
        width, *powers = known
        digit = 0.05 if width < 20 else 0.5
        assert parts.half_width(seeds, facts) == pytest.approx(width, abs=digit)
        for effect, expected in zip((5.0, 10.0), powers, strict=True):
            found = chances(parts, Layout(seeds, facts), 5.0, [effect], draws=1000)
            assert found.found == pytest.approx(expected, abs=0.01 + 2.5 * found.error)


def whole_tables(rng, parts, layout, effects, draws):
    """Tables `[draws, rivals, seeds, facts]`, value by value."""

    def normal(sd, *shape):
        common = rng.standard_normal((draws, 1, *shape))
        own = rng.standard_normal((draws, layout.rivals, *shape))
        return sd * (np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own)

    of_seeds, of_facts = normal(parts.seed, layout.seeds, 1), normal(parts.fact, 1, layout.facts)
    rest = normal(parts.rest, layout.seeds, layout.facts)
    return np.asarray(effects)[:, None, None] + of_seeds + of_facts + rest


def test_mean_squares_are_drawn_as_those_of_whole_tables():
    parts, layout = Components(1.0, 2.0, 3.0), Layout(seeds=4, facts=9, rivals=2)
    rng = np.random.default_rng(1)
    real = Crossed.of(whole_tables(rng, parts, layout, [1.0, 0.0], 20_000))
    made = drawn(rng, parts, layout, [1.0, 0.0], 20_000)
    for name in ("mean", "over_seeds", "over_facts", "rest"):
        one, other = getattr(real, name), getattr(made, name)
        np.testing.assert_allclose(one.mean(axis=0), other.mean(axis=0), atol=0.03 * one.std())
        np.testing.assert_allclose(one.std(axis=0), other.std(axis=0), rtol=0.05)
        shared = [np.corrcoef(values.T)[0, 1] for values in (one, other)]
        assert shared[0] == pytest.approx(shared[1], abs=0.04)


@pytest.mark.parametrize("needs", Needs)
def test_verdicts_are_as_frequent_as_on_whole_tables(needs):
    parts = Components(0.3, 0.5, 1.5)
    layout = Layout(seeds=5, facts=30, rivals=3, needs=needs)
    effects = [0.6, 0.6, 0.1]
    tables = whole_tables(np.random.default_rng(2), parts, layout, effects, 1500)
    real = decide(run_tests([Crossed.of(tables)], Bar(0.35), True, 0.0), needs)
    found = chances(parts, layout, 0.35, effects, draws=1500)
    for flags, share in zip(real, (found.yes, found.no), strict=True):
        assert flags.mean() == pytest.approx(share, abs=0.05)


def test_a_yes_at_the_bar_has_at_most_half_the_power_in_a_study_of_any_size():
    parts = Components(0.01, 0.1, 0.3)
    at_bar = chances(parts, Layout(12, 512), 0.5, [0.5], draws=1000)
    assert at_bar.yes == pytest.approx(0.5, abs=3 * at_bar.error)
    assert power(parts, Layout(12, 512), bar=0.35, counts=0.5, draws=500).yes > 0.99


def test_components_are_found_in_tables_that_have_them():
    parts = Components(1.0, 2.0, 3.0)
    tables = whole_tables(np.random.default_rng(3), parts, Layout(40, 200), [5.0], 1)
    found = Components.of(tables[0, 0])
    assert found.seed == pytest.approx(1.0, rel=0.35)
    assert found.fact == pytest.approx(2.0, rel=0.15)
    assert found.rest == pytest.approx(3.0, rel=0.05)
    none = Components.of(np.tile([[1.0, 0.0], [0.0, 1.0]], (1, 4)))
    assert none.seed == 0, "a variance below 0 counts as 0"
    assert Components.pooled([parts, Components(0.0, 0.0, 3.0)]).seed == pytest.approx(0.5**0.5)


def test_ten_points_of_five_seeds_and_shares_near_one_are_denied_less_often():
    layout = Layout(5, 256)
    near = Layout(5, 256, near_one=True)
    usual, strict = (chances(AGREED, each, 5.0, [0.0], draws=1000) for each in (layout, near))
    assert strict.no < usual.no
