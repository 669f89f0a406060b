"""The picture of an answer: its deciding effects, their intervals, and the margins."""

from __future__ import annotations

import re
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.pages.findings.verdict import Answer, Claim, Effect, Picture, Verdict
from bench.redaction import safe_text
from bench.report.plots._style import PanelSize, error, titled_figure

_LOOKS = {
    Verdict.YES: ("#009E73", "o", "full"),
    Verdict.NO: ("#D55E00", "s", "full"),
    Verdict.OPEN: ("0.45", "o", "none"),
}
"""Colour, marker and fill by what an effect says about its claim."""

_NOTE = (
    "Bars: 95% confidence intervals. Shaded: smaller than the smallest effect of interest. "
    "Green dot: the claim holds; orange square: it does not; hollow: not decidable"
)
_LINE, _TWO_LINES = 0.26, 0.36
_HEAD = 0.62
_LETTERS = 56
_WIDTH = 8.2
_MOST = 40
"""At most this many effects of a claim are drawn; the table lists all of them."""


def of_effects(answer: Answer) -> Picture | None:
    """Return the picture of an answer's claims; None if no claim has an effect."""
    claims = [claim for claim in answer.claims if claim.effects]
    if not claims:
        return None
    caption = f"{answer.question.title}: every deciding comparison with its interval."
    name = re.sub(r"[^a-z0-9.]+", "-", f"effects-{answer.question.key}".casefold()).strip("-.")
    return Picture(name, caption, lambda: _draw(answer, claims))


def _draw(answer: Answer, claims: list[Claim]) -> Figure:
    heights = [
        _HEAD
        + (_TWO_LINES if len(claim.settings) > 1 else _LINE) * min(len(claim.effects), _MOST)
        + _LINE * _title(claim).count("\n")
        for claim in claims
    ]
    panel = PanelSize(_WIDTH, sum(heights))
    figure = titled_figure(1, 1, panel, answer.question.title, "", _NOTE)
    panels = figure.subplots(len(claims), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[
        :, 0
    ]
    for axes, claim in zip(panels, claims, strict=True):
        _panel(axes, claim)
    panels[-1].set_xlabel("percentage points, or percent for shares")
    return figure


def _title(claim: Claim) -> str:
    return textwrap.fill(safe_text(claim.says), _LETTERS)


def _panel(axes: Axes, claim: Claim) -> None:
    effects = claim.effects[:_MOST]
    axes.set_title(_title(claim), loc="left", fontsize=9)
    low = -claim.margin if claim.two_sided else claim.margin if effects[0].null else 0.0
    axes.axvspan(100 * min(low, claim.margin), 100 * claim.margin, color="0.93", zorder=0)
    axes.axvline(100 * effects[0].null, color="0.4", linewidth=0.8, zorder=1)
    for place, effect in enumerate(effects):
        _mark(axes, claim, effect, place)
    names = [safe_text(effect.name) for effect in effects]
    if len(claim.settings) > 1:
        names = [f"{n}\n{safe_text(e.setting)}" for n, e in zip(names, effects, strict=True)]
    axes.set_yticks(range(len(effects)), names, fontsize=7.5)
    axes.set_ylim(len(effects) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.grid(visible=False, axis="y")


def _mark(axes: Axes, claim: Claim, effect: Effect, place: int) -> None:
    color, marker, filled = _LOOKS[claim.verdict_of(effect)]
    below, above = error(effect.value, effect.estimate.interval)
    axes.errorbar(
        100 * effect.value,
        place,
        xerr=[[100 * below], [100 * above]],
        color=color,
        marker=marker,
        markerfacecolor="white" if filled == "none" else color,
        markersize=5,
        elinewidth=1.1,
        zorder=3,
    )
