"""Each adapter of a setting beside the one that all are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bench.pages.findings.effects import paired
from bench.pages.findings.evidence import Setting, shared_seeds, values
from bench.pages.findings.verdict import Effect
from bench.report.leaderboard.board import Row
from bench.report.leaderboard.standings import DEFAULT_REFERENCE
from bench.report.statistics.intervals import Floats

Measure = Callable[[Row, tuple[int, ...]], Floats]
"""Measures a row in some seeds, `[seeds, facts]`."""


def against_reference(settings: Iterable[Setting], measure: Measure = values) -> Iterator[Effect]:
    """Compare every adapter with the reference, paired by fact, in the seeds that both have."""
    for setting in settings:
        rows = setting.adapters()
        if DEFAULT_REFERENCE not in rows:
            continue
        reference = rows.pop(DEFAULT_REFERENCE)
        for method, row in rows.items():
            seeds = shared_seeds([row, reference])
            if seeds:
                pair = measure(row, seeds), measure(reference, seeds)
                yield paired(f"{method} - {DEFAULT_REFERENCE}", setting.title, *pair)
