"""The picture of an answer: its pooled effects, the settings behind them, and the margins."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.pages.findings.answer import Answer, Picture
from bench.pages.findings.claim import Claim
from bench.pages.findings.planned import smallest_that_counts
from bench.pages.findings.verdict import Unit, Verdict
from bench.redaction import safe_text
from bench.report.plots._style import PanelSize, error, titled_figure
from bench.report.statistics.intervals import Estimate

_LOOKS = {
    Verdict.YES: ("#009E73", "o", "full"),
    Verdict.NO: ("#D55E00", "s", "full"),
    Verdict.OPEN: ("0.45", "o", "none"),
}
"""Colour, marker and fill by what a pooled effect says about its claim."""

_OF_A_SETTING = ("0.6", ".", "full")
"""The same of one setting, which decides nothing by itself."""

_SAID = {
    Verdict.YES: "Green dot: supports the claim",
    Verdict.NO: "Orange square: rules the bar out",
    Verdict.OPEN: "Hollow: not decidable",
}
_UNITS = {
    Unit.POINTS: ", difference in percentage points",
    Unit.PERCENT: ", percent",
    Unit.NATS: ", nats",
    Unit.EPOCHS: ": difference",
    Unit.LOG_RATIO: "",
    Unit.DOSE: "",
    Unit.DISTANCE: ", semantic distance",
    Unit.CORRELATION: ", r",
}
"""What follows the name of an outcome below an axis."""

_LINE = 0.26
_HEAD = 0.9
_LETTERS = 56
_WIDTH = 8.2
_MOST = 40
"""At most this many lines of a claim are drawn; the tables list all of them."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a panel: a pooled effect, or below it the same in one setting."""

    name: str
    estimate: Estimate
    look: tuple[str, str, str]


def of_effects(answer: Answer) -> Picture | None:
    """Return the picture of an answer's claims; None if no claim has an effect."""
    claims = [claim for claim in answer.claims if claim.effects]
    if not claims:
        return None
    caption = f"{answer.question.title}: every deciding effect with its interval."
    name = re.sub(r"[^a-z0-9.]+", "-", f"effects-{answer.question.key}".casefold()).strip("-.")
    return Picture(name, caption, lambda: _draw(answer, claims))


def _draw(answer: Answer, claims: list[Claim]) -> Figure:
    several = len(answer.claims) > 1
    numbered = enumerate(answer.claims, start=1)
    titles = [
        _title(claim, number if several else 0) for number, claim in numbered if claim.effects
    ]
    heights = [
        _HEAD + _LINE * (len(_lines(claim)) + title.count("\n"))
        for claim, title in zip(claims, titles, strict=True)
    ]
    panel = PanelSize(_WIDTH, sum(heights))
    figure = titled_figure(1, 1, panel, answer.question.title, "", _note(claims))
    panels = figure.subplots(len(claims), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[
        :, 0
    ]
    for axes, claim, title in zip(panels, claims, titles, strict=True):
        _panel(axes, claim, title)
    return figure


def _note(claims: list[Claim]) -> str:
    """Explain what is drawn, and nothing else."""
    seen = {verdict for claim in claims for verdict in claim.verdicts}
    said = [
        "Bars: 95% confidence intervals. Shaded: between no effect and the bar of the rule. "
        "Dashed: the smallest effect that counts",
        *(text for verdict, text in _SAID.items() if verdict in seen),
    ]
    if any(len(rival.effects) > 1 for claim in claims for rival in claim.rivals):
        said.append("Grey: a single setting")
    return ". ".join(said)


def _title(claim: Claim, number: int) -> str:
    """Return what a claim says, with its number in the tables; without it if it is 0."""
    shown = f"{number}. {claim.says}" if number else claim.says
    return textwrap.fill(safe_text(shown), _LETTERS)


def _lines(claim: Claim) -> list[_Line]:
    found = []
    for rival, verdict in zip(claim.rivals, claim.verdicts, strict=True):
        found.append(_Line(rival.name, rival.estimate, _LOOKS[verdict]))
        if len(rival.effects) > 1:
            found += [_Line(f"  {e.setting}", e.estimate, _OF_A_SETTING) for e in rival.effects]
    return found[:_MOST]


def _panel(axes: Axes, claim: Claim, title: str) -> None:
    lines, null = _lines(claim), claim.effects[0].null
    unit = claim.effects[0].unit
    least = smallest_that_counts(claim.margin, unit)
    bar, counts = (f"{unit.written(end):.3g}" for end in (claim.margin, least))
    side = "either way" if claim.two_sided else "→ supports the claim"
    about = f" ({side}; bar {bar}, what counts {counts})"
    axes.set_xlabel(claim.outcome + _UNITS[unit] + about, fontsize=8)
    axes.set_title(title, loc="left", fontsize=9)
    low = -claim.margin if claim.two_sided else claim.margin if null else 0.0
    ends = (unit.written(end) for end in (min(low, claim.margin), claim.margin))
    axes.axvspan(*ends, color="0.93", zorder=0)
    axes.axvline(unit.written(null), color="0.4", linewidth=0.8, zorder=1)
    marks = (least, -least) if claim.two_sided else (least,)
    for mark in marks:
        axes.axvline(unit.written(mark), color="0.4", linewidth=0.8, linestyle="--", zorder=1)
    for place, line in enumerate(lines):
        _mark(axes, line, place, unit)
    axes.set_yticks(range(len(lines)), [safe_text(line.name) for line in lines], fontsize=7.5)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.grid(visible=False, axis="y")


def _mark(axes: Axes, line: _Line, place: int, unit: Unit) -> None:
    color, marker, filled = line.look
    below, above = error(line.estimate.value, line.estimate.interval)
    value, low, high = (unit.written(line.estimate.value + away) for away in (0, -below, above))
    axes.errorbar(
        value,
        place,
        xerr=[[value - low], [high - value]],
        color=color,
        marker=marker,
        markerfacecolor="white" if filled == "none" else color,
        markersize=5,
        elinewidth=1.1,
        zorder=3,
    )
