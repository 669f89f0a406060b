"""The picture of deciding effects: where the marks of the rule stand, and which side says yes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim
from bench.pages.findings.effects import mean_of
from bench.pages.findings.effects_figure import of_effects
from bench.pages.findings.verdict import Unit, Verdict

QUESTION = Question("q", "A question", "Does it?", "This with that.", "a paper", Verdict.YES, ())


def panel_of(unit, margin, *, two_sided=False):
    """The panel of one claim."""
    table = np.random.default_rng(0).normal(0.1, 0.1, (5, 20))
    effect = mean_of("a - b", "here", table, unit)
    claim = Claim("A is more than B", "outcome", (effect,), margin, two_sided=two_sided)
    figure = of_effects(Answer(QUESTION, (claim,))).draw()
    [axes] = figure.axes
    return axes


def dashed(axes):
    """Where the dashed lines stand."""
    lines = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    return sorted(float(line.get_xdata()[0]) for line in lines)


@pytest.mark.parametrize(
    ("unit", "margin", "bar", "counts"),
    [
        (Unit.EPOCHS, 0.35, "0.35", 0.5),
        (Unit.POINTS, 0.035, "3.5", 5.0),
        (Unit.LOG_RATIO, 0.7 * math.log(4 / 3), "1.22", 4 / 3),
        (Unit.CORRELATION, math.atanh(0.63), "0.63", 0.9),
    ],
)
def test_the_smallest_effect_that_counts_is_drawn_as_it_is_written(unit, margin, bar, counts):
    axes = panel_of(unit, margin)
    assert dashed(axes) == pytest.approx([counts])
    assert f"(→ supports the claim; bar {bar}, what counts {counts:.3g})" in axes.get_xlabel()


def test_a_claim_of_either_way_has_it_on_both_sides_and_no_right_side():
    axes = panel_of(Unit.EPOCHS, 0.35, two_sided=True)
    assert dashed(axes) == pytest.approx([-0.5, 0.5])
    assert "→" not in axes.get_xlabel()


def test_several_claims_have_the_numbers_of_the_tables():
    table = np.random.default_rng(0).normal(0.1, 0.1, (5, 20))
    effect = mean_of("a - b", "here", table, Unit.EPOCHS)
    nothing = Claim("A was measured", "outcome", (), 0.35)
    claims = (nothing, *(Claim(f"A is {what}", "outcome", (effect,), 0.35) for what in "xy"))
    titles = [axes.get_title("left") for axes in of_effects(Answer(QUESTION, claims)).draw().axes]
    assert titles == ["2. A is x", "3. A is y"]
