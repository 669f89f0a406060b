"""All effects that decide a question, with their intervals and the margins they are held to."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.pages.findings.figure import Picture, file_name
from bench.pages.findings.verdict import Answer, Claim, Effect, Verdict
from bench.redaction import safe_text
from bench.report.plots._style import PanelSize, error, titled_figure

_LOOKS = {
    Verdict.YES: ("#009E73", "o", "full"),
    Verdict.NO: ("#D55E00", "s", "full"),
    Verdict.OPEN: ("0.45", "o", "none"),
}
"""Colour, marker and filling by what an effect says of its claim."""

_NOTE = (
    "Bars: 95 % intervals. Shaded: too small to count. Green dot: the claim holds, orange square: "
    "it does not, hollow: not decidable"
)
_LINE, _TWO_LINES = 0.26, 0.36
_HEAD = 0.62
_LETTERS = 56
_WIDTH = 8.2
_MOST = 40
"""So many effects of a claim are drawn, the first ones; the table has all."""


def of_effects(answer: Answer) -> Picture | None:
    """Return the picture of an answer's claims; None where none has an effect."""
    claims = [claim for claim in answer.claims if claim.effects]
    if not claims:
        return None
    caption = f"{answer.question.title}: every comparison that decides, with its interval."
    return Picture(
        file_name("effects", answer.question.key), caption, lambda: _draw(answer, claims)
    )


def _draw(answer: Answer, claims: list[Claim]) -> Figure:
    heights = [
        _HEAD + _row(claim) * min(len(claim.effects), _MOST) + _LINE * _title(claim).count("\n")
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


def _row(claim: Claim) -> float:
    return _TWO_LINES if _several(claim) else _LINE


def _several(claim: Claim) -> bool:
    """Return whether effects must name their settings."""
    return len(claim.settings) > 1


def _name(effect: Effect, several: bool) -> tuple[str, ...]:
    return (effect.name, effect.setting) if several else (effect.name,)


def _panel(axes: Axes, claim: Claim) -> None:
    effects = claim.effects[:_MOST]
    axes.set_title(_title(claim), loc="left", fontsize=9)
    low = -claim.margin if claim.two_sided else claim.margin if effects[0].null else 0.0
    axes.axvspan(100 * min(low, claim.margin), 100 * claim.margin, color="0.93", zorder=0)
    axes.axvline(100 * effects[0].null, color="0.4", linewidth=0.8, zorder=1)
    for place, effect in enumerate(effects):
        _mark(axes, claim, effect, place)
    several = _several(claim)
    names = ["\n".join(map(safe_text, _name(effect, several))) for effect in effects]
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
