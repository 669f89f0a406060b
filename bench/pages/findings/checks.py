"""What was checked before a result is held against a paper: protocol, rate, size, formula."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.pages.findings.answer import Answer
from bench.pages.findings.claim import Rival
from bench.pages.findings.evidence import Evidence, Setting, at_default_rate
from bench.pages.findings.tables import effect_text, places
from bench.report.leaderboard.rebuilt import rebuilt_parts
from bench.report.leaderboard.standings import DEFAULT_REFERENCE
from bench.report.tables.format import percent_interval
from bench.report.tables.tuning import tuning_mark, tuning_warnings
from bench.store.records import CellSpec


def checks(answer: Answer, evidence: Evidence) -> tuple[str, ...]:
    """Return what the results say about possible faults of this benchmark, one line each."""
    used = {effect.setting for claim in answer.claims for effect in claim.effects}
    settings = [setting for setting in evidence.settings if setting.title in used]
    decisive = [e.name for claim in answer.claims for e in claim.effects]
    compared = [*decisive, *(effect.name for effect in answer.details), answer.question.method]
    return (
        *_protocol(settings, decisive),
        *(line for setting in settings for line in _base(setting, compared)),
        *(line for setting in settings for line in _rates(setting, compared, evidence)),
        *(line for setting in settings for line in _machines(setting, decisive)),
        *_size(answer),
        *_formulas({m for s in settings for m in _named(s, decisive)}),
    )


def _named(setting: Setting, effects: Sequence[str]) -> list[str]:
    """Return the methods that effects name as words of their own."""
    words = {word.rstrip(",") for name in effects for word in name.split()}
    return sorted(words & setting.rows.keys())


def _protocol(settings: list[Setting], decisive: Sequence[str]) -> Iterator[str]:
    """Say how much was learned by the plain adapter, or by what is compared where it was not run.

    Where nothing was learned, nothing can be compared.
    """
    for setting in settings:
        plain = [DEFAULT_REFERENCE] if DEFAULT_REFERENCE in setting.rows else []
        for name in plain or _named(setting, decisive):
            row = setting.rows[name]
            learned = percent_interval(row.metrics["reliability"])
            before = percent_interval(row.metrics["reliability_before"])
            yield (
                f"Protocol: on {setting.title} {name} answers {learned}% of the "
                f"facts; the base answers {before}%."
            )


def _base(setting: Setting, compared: Sequence[str]) -> Iterator[str]:
    """Say that the base answered some facts in some cells only, which are then left out."""
    rows = [setting.rows[method] for method in _named(setting, compared) or setting.rows]
    cells = [cell.rows["correct_before"] for row in rows for cell in row.cells]
    known = np.stack([column.to_numpy(dtype=np.bool_) for column in cells])
    differ = int((known.any(axis=0) & ~known.all(axis=0)).sum())
    if differ:
        facts = "1 fact" if differ == 1 else f"{differ} facts"
        yield (
            f"Base: on {setting.title} it answers {facts} in some cells and not in others, which "
            "happens between machines; they do not count as unknown."
        )


def _machines(setting: Setting, decisive: Sequence[str]) -> Iterator[str]:
    """Say that compared methods ran on machines of different kinds."""
    kinds = {
        method: {cell.record.provenance.get("device_name") for cell in setting.rows[method].cells}
        for method in _named(setting, decisive)
    }
    known = {m: sorted(map(str, found - {None})) for m, found in kinds.items() if found - {None}}
    if len({tuple(found) for found in known.values()}) > 1:
        said = "; ".join(f"{method} on {', '.join(found)}" for method, found in known.items())
        yield (
            f"Machines: on {setting.title} methods ran on different ones, so their seconds do not "
            f"compare: {said}."
        )


def _rates(setting: Setting, compared: Sequence[str], evidence: Evidence) -> Iterator[str]:
    """Say which learning rates the compared methods used, and what is doubtful about them."""
    if not setting.tuned:
        yield from _untuned(setting, compared, evidence)
        return
    methods = _named(setting, compared) or sorted(setting.adapters())
    rows = {method: setting.rows[method] for method in methods}
    chosen = [f"{method} {mark}" for method, row in rows.items() if (mark := tuning_mark(row))]
    if not chosen:
        yield f"Learning rate: on {setting.title} no candidate is left that it was chosen from."
        return
    yield f"Learning rate: on {setting.title} it was tuned on other facts: {'; '.join(chosen)}."
    yield from (f"{setting.title}: {line}." for line in tuning_warnings([*rows.values()]))


def _untuned(setting: Setting, compared: Sequence[str], evidence: Evidence) -> Iterator[str]:
    """Say on which other facts the rate was chosen, or that the rates are defaults, or given."""
    rows = [setting.rows[method] for method in _named(setting, compared) or setting.rows]
    used = {row.spec.learning_rate for row in rows}
    for other in evidence.settings:
        row = other.rows.get(DEFAULT_REFERENCE) if other.tuned else None
        alike = row is not None and _kind(row.spec) == _kind(setting.spec)
        if row is not None and alike and {row.spec.learning_rate} == used:
            yield (
                f"Learning rate: on {setting.title} it was {row.spec.learning_rate:g}, which was "
                f"chosen for {DEFAULT_REFERENCE} on {row.spec.task}."
            )
            yield from (f"{other.title}: {line}." for line in tuning_warnings([row]))
            return
    said = "the adapters used their defaults"
    if not all(map(at_default_rate, rows)):
        rates = sorted({row.spec.learning_rate for row in rows})
        said = f"the rate was given: {', '.join(f'{rate:g}' for rate in rates)}"
    yield f"Learning rate: on {setting.title} {said}; none was tuned on facts of this task."


def _kind(spec: CellSpec) -> tuple[str, str]:
    """Return the base and the name of the task without its options."""
    return spec.model, spec.task.partition("[")[0]


def _size(answer: Answer) -> Iterator[str]:
    """Say how many intervals are wider to each side than the bar."""
    rivals = [(c.margin, r) for c in answer.claims for r in c.rivals if r.estimate.interval]
    wide = [rival for bar, rival in rivals if _half(rival) > bar]
    if len(rivals) == 1:
        than = "more" if wide else "no more"
        yield f"Facts and seeds: half the width of the interval is {than} than the bar."
        return
    yield (
        f"Facts and seeds: for {len(wide)} of {len(rivals)} pooled intervals, half the width is "
        "more than the bar."
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
