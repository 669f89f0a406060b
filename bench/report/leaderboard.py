"""From records and fact rows to the rows of the leaderboard; pure functions, no output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from bench.records import CellRecord, CellSpec, PhaseName, Status
from bench.report.across import overall_ranks
from bench.report.against import (
    DEFAULT_REFERENCE,
    check_reference,
    headline,
    reference_row,
    with_standings,
)
from bench.report.aggregates import Aggregate, aggregates
from bench.report.board import Cell, Cost, Failure, Leaderboard, Row, Section, Tuning
from bench.report.titles import setting_labels
from bench.report.tuned import Settled, reporting_spec, settle
from bench.tuning import shown


def build_leaderboard(
    cells: Iterable[Cell], problems: Sequence[str] = (), reference: str | None = None
) -> Leaderboard:
    """Group cells into sections and rows, aggregate each row over its seeds, and compare rows.

    Args:
        cells: All cells of the board.
        problems: Files that could not be read.
        reference: The method that others are compared with; without it `lora`, where present.

    Raises:
        UsageError: No row is the reference that was asked for.
    """
    settled = settle(cells)
    ordered = sorted([*_trained(settled), *_untrained(settled)], key=lambda entry: entry.key)
    groups = [list(members) for _, members in groupby(ordered, key=lambda e: _section_key(e.spec))]
    named = [(f"{g[0].spec.model} on {g[0].spec.task}", g[0].spec) for g in groups]
    titles = setting_labels(named, of_sections=True)
    name = reference or DEFAULT_REFERENCE
    found = [_section(title, group, name) for title, group in zip(titles, groups, strict=True)]
    board = Leaderboard(tuple(found), tuple(problems), overall_ranks(found))
    if reference is not None:
        check_reference(reference, board.rows)
    return board


@dataclass(frozen=True)
class _Entry:
    """What a row is made of; `spec` is that of all its cells but for the seed."""

    spec: CellSpec
    cells: tuple[Cell, ...]
    tuning: Tuning | None

    @property
    def key(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Sorts entries by their sections."""
        return _section_key(self.spec), _row_key(self.spec)


def _trained(settled: Settled) -> list[_Entry]:
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in sorted(settled.cells, key=lambda cell: cell.record.spec.seed):
        groups.setdefault(_row_key(cell.record.spec), []).append(cell)
    return [
        _Entry(cells[0].record.spec, tuple(cells), settled.tunings.get(cells[0].record.cell_id))
        for cells in groups.values()
    ]


def _untrained(settled: Settled) -> list[_Entry]:
    return [
        _Entry(reporting_spec((tuning.best or tuning.tried[0].trial).spec), (), tuning)
        for tuning in settled.untrained
    ]


def _section_key(spec: CellSpec) -> tuple[str, ...]:
    return (
        spec.model,
        spec.task,
        spec.dtype,
        spec.model_revision,
        f"{spec.facts:09d}",
        spec.facts_digest,
        spec.prompt_digest,
    )


def _row_key(spec: CellSpec) -> tuple[str, ...]:
    content = spec.model_dump(exclude={"seed": True, "tuned": {"over"}})
    return (spec.asked, *(str(value) for value in content.values()))


def _section(title: str, entries: list[_Entry], reference: str) -> Section:
    labels = setting_labels([(entry.spec.asked, entry.spec) for entry in entries])
    rows = [_row(*parts) for parts in zip(labels, entries, aggregates(_done(entries)), strict=True)]
    ranked = sorted(rows, key=_rank)
    against = reference_row(ranked, reference)
    spec = entries[0].spec
    return Section(
        title=title,
        model=spec.model,
        task=spec.task,
        facts=spec.facts,
        rows=with_standings(ranked, against),
        warnings=(*_warnings(rows), *_mixed_items(rows)),
        headline=headline(rows),
        reference=against.label if against else "",
    )


def _rank(row: Row) -> tuple[bool, float, float, str]:
    """Sort key: facts learned that were unknown, then all facts; rows without a result last."""
    values = [row.metrics[name] for name in ("reliability_unknown", "reliability")]
    unknown, overall = (-1.0 if entry is None else entry.value for entry in values)
    return (not row.cells, -unknown, -overall, row.label)


def _done(entries: Sequence[_Entry]) -> list[list[Cell]]:
    return [[c for c in entry.cells if c.record.status is Status.DONE] for entry in entries]


def _row(label: str, entry: _Entry, found: Aggregate) -> Row:
    [done] = _done([entry])
    failed = [cell for cell in entry.cells if cell.record.status is not Status.DONE]
    return Row(
        label=label,
        spec=entry.spec,
        cells=tuple(done),
        failures=(*(_failure(label, cell.record) for cell in failed), *_untried(label, entry)),
        metrics=found.metrics,
        forgetting=found.forgetting,
        phases=_costs(done),
        tuning=entry.tuning,
    )


def _failure(label: str, record: CellRecord) -> Failure:
    return Failure(record.cell_id, label, record.spec.seed, record.status, record.reason)


def _untried(label: str, entry: _Entry) -> list[Failure]:
    """Return the candidates of a method of which none ended well."""
    tuning = entry.tuning
    if entry.cells or tuning is None or tuning.best is not None:
        return []
    return [
        _failure(f"{label}, {shown(tried.trial.spec, tuning.over)}", tried.cell.record)
        for tried in tuning.tried
    ]


def _costs(cells: list[Cell]) -> dict[PhaseName, Cost]:
    found = {
        name: [cell.record.phases[name] for cell in cells if name in cell.record.phases]
        for name in PhaseName
    }
    return {
        name: Cost(
            seconds=float(np.mean([phase.seconds_cold for phase in phases])),
            peak_bytes=max(phase.peak_bytes for phase in phases),
        )
        for name, phases in found.items()
        if phases
    }


def _warnings(rows: list[Row]) -> list[str]:
    """Return the cells' own warnings, once each, with the rows that have them."""
    rows_of: dict[str, list[str]] = {}
    for row in rows:
        for warning in {w: None for cell in row.cells for w in cell.record.warnings}:
            rows_of.setdefault(warning, []).append(row.label)
    return [f"{', '.join(labels)}: {warning}" for warning, labels in rows_of.items()]


def _mixed_items(rows: list[Row]) -> list[str]:
    """Warn where one forgetting task was measured on different items: rows do not compare."""
    digests: dict[str, set[str]] = {}
    for row in rows:
        for cell in row.cells:
            for entry in cell.record.forgetting:
                digests.setdefault(entry.task, set()).add(entry.digest)
    return [
        f"{task}: measured on {len(found)} different sets of items, so its rows do not compare"
        for task, found in sorted(digests.items())
        if len(found) > 1
    ]
