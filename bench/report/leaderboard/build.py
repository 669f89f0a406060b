"""From records and fact rows to the rows of the leaderboard; pure functions, no output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from bench.evaluation.metrics import metric_table
from bench.planning.tuning import shown
from bench.report.leaderboard.aggregates import Aggregate, aggregates
from bench.report.leaderboard.board import Cell, Cost, Failure, Leaderboard, Row, Section, Tuning
from bench.report.leaderboard.equal_learning import with_equal_learning
from bench.report.leaderboard.half_dose import at_half_dose
from bench.report.leaderboard.labels import setting_labels
from bench.report.leaderboard.overall_ranks import overall_ranks
from bench.report.leaderboard.standings import (
    DEFAULT_REFERENCE,
    check_reference,
    headline,
    headline_of,
    ranked_values,
    reference_row,
    with_standings,
)
from bench.report.leaderboard.tuned_grids import Settled, reporting_spec, settle
from bench.store.records import CellRecord, CellSpec, PhaseName, Status

T = TypeVar("T")


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
    groups = by_section(cells, lambda cell: cell.record.spec)
    return board_of([section_of(group, reference) for group in groups], problems, reference)


def by_section(found: Iterable[T], spec: Callable[[T], CellSpec]) -> list[list[T]]:
    """Group whatever has a spec into the sections of the board, in their order.

    A candidate on a tuning set belongs to the section that the best one is reported in.
    """
    groups: dict[tuple[str, ...], list[T]] = {}
    for one in found:
        groups.setdefault(_section_key(reporting_spec(spec(one))), []).append(one)
    return [groups[key] for key in sorted(groups)]


@dataclass(frozen=True, slots=True)
class Untitled:
    """A section whose title is its name as yet; `spec` tells it from others of that name."""

    section: Section
    spec: CellSpec


def section_of(cells: Iterable[Cell], reference: str | None = None) -> Untitled:
    """Aggregate each row of a section over its seeds, and compare rows.

    Args:
        cells: Everything that `by_section` says belongs to it; at least one.
        reference: The method that others are compared with; without it `lora`, where present.
    """
    entries = _entries(settle(cells))
    spec = entries[0].spec
    return Untitled(_section(_name(spec), entries, reference or DEFAULT_REFERENCE), spec)


def _name(spec: CellSpec) -> str:
    again = f", rescored: {spec.rescored.scoring}" if spec.rescored else ""
    return f"{spec.model} on {spec.task}{again}"


def section_titles(specs: Sequence[CellSpec]) -> list[str]:
    """Return the titles of sections, of which each spec is one of a row's."""
    return setting_labels([(_name(spec), spec) for spec in specs], of_sections=True)


def board_of(
    found: Sequence[Untitled], problems: Sequence[str] = (), reference: str | None = None
) -> Leaderboard:
    """Put sections together; arguments and errors are those of `build_leaderboard`."""
    titles = section_titles([one.spec for one in found])
    sections = [replace(u.section, title=title) for u, title in zip(found, titles, strict=True)]
    board = Leaderboard(tuple(sections), tuple(problems), overall_ranks(sections))
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
    def done(self) -> list[Cell]:
        """Its cells that have a result."""
        return [cell for cell in self.cells if cell.record.status is Status.DONE]


def _entries(settled: Settled) -> list[_Entry]:
    """Return the rows of settled cells, and of tunings that nothing was trained from yet."""
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in sorted(settled.cells, key=lambda cell: cell.record.spec.seed):
        groups.setdefault(_row_key(cell.record.spec), []).append(cell)
    found = [
        _Entry(cells[0].record.spec, tuple(cells), settled.tunings.get(cells[0].record.cell_id))
        for cells in groups.values()
    ]
    for tuning in settled.untrained:
        spec = reporting_spec((tuning.best or tuning.tried[0].trial).spec)
        found.append(_Entry(spec, (), tuning))
    return sorted(found, key=lambda entry: _row_key(entry.spec))


def _section_key(spec: CellSpec) -> tuple[str, ...]:
    return (
        spec.model,
        spec.task,
        spec.precision,
        spec.model_revision,
        f"{spec.facts:09d}",
        spec.facts_digest,
        spec.prompt_digest,
        str(spec.evaluation),
        spec.rescored.model_dump_json() if spec.rescored else "",
    )


def _row_key(spec: CellSpec) -> tuple[str, ...]:
    content = spec.model_dump(exclude={"seed": True, "tuned": {"over"}, "after": {"cell"}})
    return (spec.asked, *(str(value) for value in content.values()))


def _section(title: str, entries: list[_Entry], reference: str) -> Section:
    labels = setting_labels([(entry.spec.asked, entry.spec) for entry in entries])
    found = aggregates([entry.done for entry in entries])
    rows = [_row(*parts) for parts in zip(labels, entries, found, strict=True)]
    by = headline(rows)
    ranked = sorted(rows, key=lambda row: _place(row, by))
    against = reference_row(ranked, reference)
    ranked = at_half_dose(ranked, against or next((row for row in ranked if row.cells), None))
    against = reference_row(ranked, reference)
    spec, values = entries[0].spec, ranked_values(ranked)
    standing = with_standings(ranked, against, values)
    return Section(
        title=title,
        model=spec.model,
        task=spec.task,
        facts=spec.facts,
        rows=with_equal_learning(standing, reference_row(standing, reference)),
        warnings=(*_warnings(rows), *_mixed_items(rows)),
        headline=by,
        reference=against.label if against else "",
        ranked=values,
    )


def _place(row: Row, headline: str) -> tuple[bool, bool, float, float, str]:
    """Sort key: the best by the headline first, then by reliability; rows without a result last."""
    found, overall = headline_of(row, headline), row.metrics["reliability"]
    metric = metric_table().get(headline)
    sign = -1 if metric is None or metric.more_is_better else 1
    value = sign * found.value if found else 0.0
    learned = overall.value if overall else 0.0
    return (not row.cells, found is None, value, -learned, row.label)


def _row(label: str, entry: _Entry, found: Aggregate) -> Row:
    done, tuning = entry.done, entry.tuning
    failed = [(label, c.record) for c in entry.cells if c.record.status is not Status.DONE]
    if tuning and not entry.cells and tuning.best is None:  # none of its candidates ended well
        failed = [
            (f"{label}, {shown(tried.trial.spec, tuning.over)}", cell.record)
            for tried in tuning.tried
            for cell in tried.cells
            if cell.record.status is not Status.DONE
        ]
    return Row(
        label=label,
        spec=entry.spec,
        cells=tuple(done),
        failures=tuple(
            Failure(record.cell_id, name, record.spec.seed, record.status, record.reason)
            for name, record in failed
        ),
        metrics=found.metrics,
        forgetting=found.forgetting,
        evaluated=found.evaluated,
        phases=phase_costs(done),
        tuning=tuning,
    )


def phase_costs(cells: Sequence[Cell]) -> dict[PhaseName, Cost]:
    """Average what phases took; the memory of cells that were trained together is not theirs."""
    found = {
        name: [cell.record.phases[name] for cell in cells if name in cell.record.phases]
        for name in PhaseName
    }
    own = {
        name: [cell.record.phases[name] for cell in cells if name in _own_memory(cell.record)]
        for name in found
    }
    return {
        name: Cost(
            seconds=float(np.mean([phase.seconds_cold for phase in phases])),
            peak_bytes=max((p.peak_bytes for p in own[name]), default=None),
        )
        for name, phases in found.items()
        if phases
    }


def _own_memory(record: CellRecord) -> set[PhaseName]:
    """Return the phases whose peak is that of the cell alone: cells are prepared one by one."""
    return {name for name in record.phases if record.stacked == 1 or name is PhaseName.PREPARE}


def _warnings(rows: list[Row]) -> list[str]:
    """Return the cells' own warnings, once each, with the rows that have them."""
    rows_of: dict[str, list[str]] = {}
    for row in rows:
        for warning in {w: None for cell in row.cells for w in cell.record.warnings}:
            rows_of.setdefault(warning, []).append(row.label)
    return [f"{', '.join(labels)}: {warning}" for warning, labels in rows_of.items()]


def _mixed_items(rows: list[Row]) -> list[str]:
    """Warn where one task was measured on different items: rows do not compare."""
    digests: dict[str, set[str]] = {}
    for row in rows:
        for cell in row.cells:
            for entry in cell.record.forgetting:
                digests.setdefault(entry.task, set()).add(entry.digest)
            for learned in cell.record.evaluated:
                digests.setdefault(f"{learned.task} (--evaluate)", set()).add(learned.digest)
    return [
        f"{task}: measured on {len(found)} different sets of items, so rows cannot be compared"
        for task, found in sorted(digests.items())
        if len(found) > 1
    ]
