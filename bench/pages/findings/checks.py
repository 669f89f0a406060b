"""What was checked before a result is held against a paper: protocol, rate, size, formula."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.pages.findings.answer import Answer
from bench.pages.findings.claim import Rival
from bench.pages.findings.evidence import Evidence, Setting, at_default_rate
from bench.pages.findings.tables import effect_text, places
from bench.report.leaderboard.rebuilt import rebuilt_parts
from bench.report.leaderboard.standings import DEFAULT_REFERENCE
from bench.report.tables.format import percent_interval
from bench.report.tables.tuning import tuning_mark, tuning_warnings


def checks(answer: Answer, evidence: Evidence) -> tuple[str, ...]:
    """Return what the results say about possible faults of this benchmark, one line each."""
    used = {effect.setting for claim in answer.claims for effect in claim.effects}
    settings = [s for s in evidence.settings if any(name.startswith(s.title) for name in used)]
    decisive = [e.name for claim in answer.claims for e in claim.effects]
    compared = [*decisive, *(effect.name for effect in answer.details)]
    return (
        *_protocol(settings),
        *(line for setting in settings for line in _rates(setting, compared)),
        *_size(answer),
        *_formulas({m for s in settings for m in _named(s, decisive)}),
    )


def _named(setting: Setting, effects: Sequence[str]) -> list[str]:
    """Return the methods that effects name; `lora+freeze` names `lora` as well."""
    return sorted(m for m in setting.rows if any(m in name for name in effects))


def _protocol(settings: list[Setting]) -> Iterator[str]:
    """Say how much the plain adapter learned; if it learned nothing, nothing can be compared."""
    for setting in settings:
        row = setting.rows.get(DEFAULT_REFERENCE)
        if row is not None:
            learned = percent_interval(row.metrics["reliability"])
            before = percent_interval(row.metrics["reliability_before"])
            yield (
                f"Protocol: on {setting.title} {DEFAULT_REFERENCE} answers {learned}% of the "
                f"facts; the base answers {before}%."
            )


def _rates(setting: Setting, compared: Sequence[str]) -> Iterator[str]:
    """Say which learning rates the compared methods used, and what is doubtful about them."""
    if not setting.tuned:
        yield from _untuned(setting, compared)
        return
    methods = _named(setting, compared) or sorted(setting.adapters())
    rows = {method: setting.rows[method] for method in methods}
    chosen = [f"{method} {mark}" for method, row in rows.items() if (mark := tuning_mark(row))]
    yield f"Learning rate: on {setting.title} it was tuned on other facts: {'; '.join(chosen)}."
    yield from (f"{setting.title}: {line}." for line in tuning_warnings([*rows.values()]))


def _untuned(setting: Setting, compared: Sequence[str]) -> Iterator[str]:
    """Say whether the rates are the adapters' defaults, or which they are."""
    rows = [setting.rows[method] for method in _named(setting, compared) or setting.rows]
    said = "the adapters used their defaults"
    if not all(map(at_default_rate, rows)):
        rates = sorted({row.spec.learning_rate for row in rows})
        said = f"the rate was given: {', '.join(f'{rate:g}' for rate in rates)}"
    yield f"Learning rate: on {setting.title} {said}; none was tuned on facts of this task."


def _size(answer: Answer) -> Iterator[str]:
    """Say how many intervals are wider to each side than the smallest effect of interest."""
    rivals = [(c.margin, r) for c in answer.claims for r in c.rivals if r.estimate.interval]
    wide = [rival for margin, rival in rivals if _half(rival) > margin]
    yield (
        f"Facts and seeds: for {len(wide)} of {len(rivals)} pooled intervals, half the width is "
        "more than the smallest effect of interest."
    )
    if wide:
        widest = max(wide, key=_half)
        yield f"The widest interval: {widest.name}, {places(widest)}: {effect_text(widest)}."


def _half(rival: Rival) -> float:
    interval = rival.estimate.interval
    return (interval.high - interval.low) / 2 if interval else float("inf")


def _formulas(methods: set[str]) -> Iterator[str]:
    found = {part for method in methods for part in rebuilt_parts(method)}
    if found:
        yield (
            f"Formulas: {' and '.join(sorted(found))} {'is' if len(found) == 1 else 'are'} "
            "rebuilt; only the parameter values in the recipes were tried."
        )
