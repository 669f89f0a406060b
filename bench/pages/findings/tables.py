"""Effects and verdicts as Markdown tables and sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from tabulate import tabulate

from bench.pages.findings.answer import Answer
from bench.pages.findings.claim import Claim, Effect, Rival
from bench.pages.findings.grids import CommittedGrid
from bench.pages.findings.planned import GRIDS, STUDY, smallest_that_counts
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.statistics.intervals import Estimate
from bench.report.tables import format as wording
from bench.report.tables.format import markdown


def _correlation(estimate: Estimate | None) -> str:
    if estimate is None:
        return wording.MISSING
    interval = estimate.interval
    ends = (estimate.value, interval.low, interval.high) if interval else (estimate.value,)
    value, *rest = (f"{Unit.CORRELATION.written(end):+.2f}" for end in ends)
    return f"{value} [{', '.join(rest)}]" if rest else value


def _ratio(estimate: Estimate | None) -> str:
    if estimate is None:
        return wording.MISSING
    times, interval = Unit.LOG_RATIO.written, estimate.interval
    if interval is not None:
        interval = replace(interval, low=times(interval.low), high=times(interval.high))
    shown = replace(estimate, value=times(estimate.value), interval=interval)
    return wording.ratio_interval(shown)


_FORMS: dict[Unit, Callable[[Estimate | None], str]] = {
    Unit.POINTS: wording.points_interval,
    Unit.PERCENT: wording.percent_interval,
    Unit.NATS: wording.nats_interval,
    Unit.EPOCHS: partial(wording.more_epochs_interval, digits=2),
    Unit.LOG_RATIO: _ratio,
    Unit.DOSE: wording.epochs_interval,
    Unit.DISTANCE: wording.nats_interval,
    Unit.CORRELATION: _correlation,
}
_UNITS = {
    Unit.POINTS: " points",
    Unit.PERCENT: "%",
    Unit.NATS: " nats",
    Unit.EPOCHS: " epochs",
    Unit.LOG_RATIO: " times",
    Unit.DOSE: " epochs",
    Unit.DISTANCE: "",
    Unit.CORRELATION: " (r)",
}
_LEAST_P = 0.001
_ABOUT = ["comparison", "setting", "effect", "seeds", "n"]


def amount(value: float, unit: Unit) -> str:
    """Write a number with its unit: `3.5 points`."""
    return f"{unit.written(value):.3g}{_UNITS[unit]}"


def effect_text(effect: Effect | Rival) -> str:
    """Write an effect with its interval and its unit: `+2.5 [-1, +6] points`."""
    return _FORMS[effect.unit](effect.estimate) + _UNITS[effect.unit]


def places(rival: Rival) -> str:
    """Say where an effect was measured: its setting, or how many it is pooled over."""
    found = rival.settings
    return found[0] if len(found) == 1 else f"{len(found)} settings, pooled"


def p_text(p: float | None) -> str:
    """Write a p-value: `0.012`, or `< 0.001`."""
    if p is None:
        return wording.MISSING
    return f"< {_LEAST_P}" if p < _LEAST_P else f"{p:.3f}"


def summary_table(answers: Sequence[Answer]) -> str:
    """Return the table at the top of the page: one line per question."""
    lines = []
    for number, answer in enumerate(answers, start=1):
        claim = answer.primary
        link = f"[{number}](#{anchor(number, answer)})"
        lines.append(
            [link, markdown(answer.question.asks), f"**{answer.verdict}**", *_headline(claim)]
        )
    headers = ["", "question", "answer", "effect", "setting", "seeds", "n"]
    return _table(lines, headers, left=5)


def below_what_counts(claim: Claim) -> str:
    """Return the smallest effect that counts, if a claim holds with a smaller estimate; or ""."""
    rival = claim.headline
    if claim.verdict is not Verdict.YES or rival is None:
        return ""
    least = smallest_that_counts(claim.margin, rival.unit)
    return amount(least, rival.unit) if abs(rival.estimate.value) < least else ""


def advice_list(answers: Sequence[Answer]) -> str:
    """Return what the decided questions advise, one line each; empty if none does."""
    return "\n".join(
        f"- [{number}](#{anchor(number, answer)}): {markdown(answer.advice)}.{_caution(answer)}"
        for number, answer in enumerate(answers, start=1)
        if answer.advice
    )


def _caution(answer: Answer) -> str:
    least = below_what_counts(answer.primary)
    return f" (The estimate is below {least}, the smallest effect that counts.)" if least else ""


def claims_table(claims: Sequence[Claim]) -> str:
    """Return one line per claim of a question."""
    lines = []
    for number, claim in enumerate(claims, start=1):
        rival = claim.headline
        bar = counts = wording.MISSING
        if rival:
            bar, counts = (
                amount(claim.margin, rival.unit),
                amount(smallest_that_counts(claim.margin, rival.unit), rival.unit),
            )
        says = markdown(claim.says)
        if len(claims) > 1:
            says = f"{number}. {says}"
        cells = [says, f"**{claim.verdict}**", bar, counts, *_headline(claim)]
        lines.append(cells)
    headers = ["claim", "answer", "bar", "what counts", "effect", "setting", "seeds", "n"]
    return _table(lines, headers, left=6)


def rivals_table(claims: Sequence[Claim]) -> str:
    """Return the pooled effect against each rival, which decides, with the tests of the rule."""
    lines = [
        [
            markdown(rival.name),
            markdown(places(rival)),
            effect_text(rival),
            str(rival.seeds),
            str(rival.facts),
            p_text(rival.p),
            p_text(rival.p_margin),
            str(verdict) if len(claims) == 1 else f"{number}: {verdict}",
        ]
        for number, claim in enumerate(claims, start=1)
        for rival, verdict in zip(claim.rivals, claim.verdicts, strict=True)
    ]
    return _table(
        lines, [*_ABOUT, "p, no effect", "p, bar or more", "it supports the claim"], left=3
    )


def effects_table(claims: Sequence[Claim]) -> str:
    """Return the effects in each setting, which the pooled ones are the means of."""
    lines = [_cells(effect) for claim in claims for effect in claim.effects]
    return _table(lines, [*_ABOUT, "p"], left=3)


def details_table(effects: Sequence[Effect], *, tested: bool) -> str:
    """Return effects that decide nothing, with p-values if they were tested."""
    lines = [
        [*_cells(effect), p_text(effect.p_holm)] if tested else _cells(effect)[:-1]
        for effect in effects
    ]
    return _table(lines, [*_ABOUT, "p", "p, Holm"] if tested else _ABOUT, left=3)


def grids_table(grids: Sequence[CommittedGrid], *, studied: bool) -> str:
    """Return what each grid file is for, whether it has run, and what it costs.

    Args:
        grids: The grid files.
        studied: Whether the study has run, which has a line of its own.
    """
    minutes = {grid.name: f"{grid.minutes:.0f}" for grid in GRIDS}
    lines = [
        [
            grid.name,
            markdown(grid.about),
            "yes" if grid.run else "no",
            minutes.get(grid.name, wording.MISSING),
        ]
        for grid in grids
    ]
    if STUDY in minutes:
        about = "Question 3: facts alone and among others. Its command stands in its section."
        lines.append([STUDY, about, "yes" if studied else "no", minutes[STUDY]])
    return _table(lines, ["grid", "what it trains", "has run", "core-minutes"], left=3)


def said(claim: Claim) -> list[str]:
    """Say what keeps the effects of a claim from deciding it, one line for each."""
    lines = [f"{markdown(rival.name)}: {why}." for rival in claim.rivals for why in _why(rival)]
    if least := below_what_counts(claim):
        lines.append(
            f"{markdown(claim.says)}: the estimate reaches the bar, and is below the smallest "
            f"effect that counts, {least}."
        )
    if 0 < len(claim.rivals) < claim.least_rivals:
        some = f"{len(claim.rivals)} of {claim.least_rivals} comparisons measured"
        lines.append(
            f"{markdown(claim.says)}: {some}, so it stays open until all are, whatever single ones "
            "say."
        )
    return lines


def _why(rival: Rival) -> Iterator[str]:
    if rival.missing:
        yield f"not measured for {_listed(rival.missing)}, so it decides nothing"
    for setting, (seeds, planned) in rival.unfinished.items():
        yield f"{seeds} of {planned} seeds measured for {markdown(setting)}, so it decides nothing"
    if rival.opposed:
        yield (
            "the effect cannot be confirmed, because its interval lies on the other side for "
            f"{_listed(rival.opposed)}"
        )
    if rival.reaching and len(rival.reaching) < len(rival.settings):
        yield (
            "the effect cannot be ruled out, because its estimate reaches the bar for "
            f"{_listed(rival.reaching)}"
        )


def _listed(settings: Sequence[str]) -> str:
    return markdown("; ".join(settings))


def anchor(number: int, answer: Answer) -> str:
    """Return the anchor that GitHub gives the heading of a section."""
    kept = "".join(c for c in answer.question.title.casefold() if c.isalnum() or c in " -")
    return f"{number}-{kept.replace(' ', '-')}"


def _headline(claim: Claim) -> list[str]:
    rival = claim.headline
    if rival is None:
        return [wording.MISSING] * 4
    about = f"{effect_text(rival)}: {markdown(rival.name)}"
    return [about, markdown(places(rival)), str(rival.seeds), str(rival.facts)]


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
