"""Effects and verdicts as Markdown tables and sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tabulate import tabulate

from bench.pages.findings.verdict import Answer, Claim, Effect, Unit, Verdict
from bench.report.statistics.intervals import Estimate
from bench.report.tables import format as wording
from bench.report.tables.format import markdown

_FORMS: dict[Unit, Callable[[Estimate | None], str]] = {
    Unit.POINTS: wording.points_interval,
    Unit.PERCENT: wording.percent_interval,
    Unit.NATS: wording.nats_interval,
}
_UNITS = {Unit.POINTS: " points", Unit.PERCENT: "%", Unit.NATS: " nats"}
_LEAST_P = 0.001


def effect_text(effect: Effect) -> str:
    """Write an effect with its interval and its unit: `+2.5 [-1, +6] points`."""
    return _FORMS[effect.unit](effect.estimate) + _UNITS[effect.unit]


def p_text(p: float | None) -> str:
    """Write a p-value: `0.012`, or `< 0.001`."""
    if p is None:
        return wording.MISSING
    return f"< {_LEAST_P}" if p < _LEAST_P else f"{p:.3f}"


def summary_table(answers: Sequence[Answer]) -> str:
    """Return the table at the top of the page: one line per question."""
    lines = []
    for number, answer in enumerate(answers, start=1):
        claim = answer.claims[0]
        link = f"[{number}](#{anchor(number, answer)})"
        lines.append(
            [link, markdown(answer.question.asks), f"**{answer.verdict}**", *_headline(claim)]
        )
    headers = ["", "question", "answer", "effect", "setting", "seeds", "n"]
    return _table(lines, headers, left=5)


def claims_table(claims: Sequence[Claim]) -> str:
    """Return one line per claim of a question."""
    lines = []
    for claim in claims:
        effect = claim.headline
        margin = f"{100 * claim.margin:g}{_UNITS[effect.unit if effect else Unit.POINTS]}"
        lines.append([markdown(claim.says), f"**{claim.verdict}**", margin, *_headline(claim)])
    headers = ["claim", "answer", "smallest effect of interest", "effect", "setting", "seeds", "n"]
    return _table(lines, headers, left=5)


def effects_table(claims: Sequence[Claim]) -> str:
    """Return every deciding effect with its verdict on its claim."""
    lines = [
        [*_cells(effect), p_text(effect.p_holm), str(claim.verdict_of(effect))]
        for claim in claims
        for effect in claim.effects
    ]
    headers = ["comparison", "setting", "effect", "seeds", "n", "p", "p, Holm", "claim holds"]
    return _table(lines, headers, left=3)


def details_table(effects: Sequence[Effect], *, tested: bool) -> str:
    """Return effects that decide nothing, with p-values if they were tested."""
    lines = [
        [*_cells(effect), p_text(effect.p_holm)] if tested else _cells(effect)[:-1]
        for effect in effects
    ]
    headers = ["comparison", "setting", "effect", "seeds", "n", "p", "p, Holm"]
    return _table(lines, headers if tested else headers[:-2], left=3)


def said(claim: Claim) -> str:
    """Say in which settings a claim holds, does not hold, or is not decidable."""
    places: dict[Verdict, list[str]] = {}
    for setting in claim.settings:
        places.setdefault(claim.verdict_in(setting), []).append(setting)
    parts = [
        f"{verdict} for {'; '.join(places[verdict])}" for verdict in Verdict if verdict in places
    ]
    disagree = " The settings disagree." if claim.disagree else ""
    return f"{markdown(claim.says)}: {markdown('. '.join(parts))}.{disagree}"


def anchor(number: int, answer: Answer) -> str:
    """Return the anchor that GitHub gives the heading of a section."""
    kept = "".join(c for c in answer.question.title.casefold() if c.isalnum() or c in " -")
    return f"{number}-{kept.replace(' ', '-')}"


def _headline(claim: Claim) -> list[str]:
    effect = claim.headline
    if effect is None:
        return [wording.MISSING] * 4
    about = f"{effect_text(effect)}: {markdown(effect.name)}"
    return [about, markdown(effect.setting), str(effect.seeds), str(effect.facts)]


def _cells(effect: Effect) -> list[str]:
    return [
        markdown(effect.name),
        markdown(effect.setting),
        effect_text(effect),
        str(effect.seeds),
        str(effect.facts),
        p_text(effect.p),
    ]


def _table(lines: Sequence[Sequence[str]], headers: Sequence[str], left: int) -> str:
    align = ["left"] * left + ["right"] * (len(headers) - left)
    if not lines:
        return "There is nothing to compare yet."
    return tabulate(lines, headers, tablefmt="pipe", colalign=align, disable_numparse=True)
