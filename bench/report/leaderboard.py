"""From records and fact rows to the rows of the leaderboard; pure functions, no output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from bench.records import CellRecord, PhaseName, Status
from bench.report.against import (
    DEFAULT_REFERENCE,
    check_reference,
    headline,
    reference_row,
    with_standings,
)
from bench.report.board import DRIFT, Cell, Cost, Failure, Forgotten, Leaderboard, Row, Section
from bench.report.measures import FACT_COLUMNS, item_losses, per_fact
from bench.report.statistics import DIFFERENCE, NON_NEGATIVE, UNBOUNDED, Estimate, estimate
from bench.report.titles import setting_labels


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
    ordered = sorted(cells, key=lambda cell: (*_section_key(cell), cell.record.cell_id))
    groups = [list(members) for _, members in groupby(ordered, key=_section_key)]
    titles = setting_labels(
        [(f"{g[0].record.spec.model} on {g[0].record.spec.task}", g[0].record.spec) for g in groups]
    )
    name = reference or DEFAULT_REFERENCE
    found = [_section(title, group, name) for title, group in zip(titles, groups, strict=True)]
    board = Leaderboard(tuple(found), tuple(problems))
    if reference is not None:
        check_reference(reference, board.rows)
    return board


def _section_key(cell: Cell) -> tuple[str, ...]:
    spec = cell.record.spec
    return (
        spec.model,
        spec.task,
        spec.dtype,
        spec.model_revision,
        f"{spec.facts:09d}",
        spec.facts_digest,
        spec.prompt_digest,
    )


def _row_key(cell: Cell) -> tuple[str, ...]:
    spec = cell.record.spec.model_dump(exclude={"seed"})
    return (spec["method"], *(str(value) for value in spec.values()))


def _section(title: str, cells: list[Cell], reference: str) -> Section:
    ordered = sorted(cells, key=lambda cell: (_row_key(cell), cell.record.spec.seed))
    groups = [list(members) for _, members in groupby(ordered, key=_row_key)]
    labels = setting_labels([(g[0].record.spec.method, g[0].record.spec) for g in groups])
    rows = [_row(label, group) for label, group in zip(labels, groups, strict=True)]
    ranked = sorted(rows, key=_rank)
    against = reference_row(ranked, reference)
    spec = cells[0].record.spec
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


def _row(label: str, cells: list[Cell]) -> Row:
    done = [cell for cell in cells if cell.record.status is Status.DONE]
    tasks = sorted({entry.task for cell in done for entry in cell.record.forgetting})
    return Row(
        label=label,
        spec=cells[0].record.spec,
        cells=tuple(done),
        failures=tuple(_failure(label, cell.record) for cell in cells if cell not in done),
        metrics={name: _metric(name, done) for name in FACT_COLUMNS},
        forgetting={task: _forgotten(task, done) for task in tasks},
        phases=_costs(done),
    )


def _failure(label: str, record: CellRecord) -> Failure:
    return Failure(record.cell_id, label, record.spec.seed, record.status, record.reason)


def _metric(name: str, cells: list[Cell]) -> Estimate | None:
    fact_column = FACT_COLUMNS[name]
    values, items = [], []
    for cell in cells:
        value = getattr(cell.record.metrics, name, None)
        if value is not None:
            values.append(value)
            items.append(per_fact(cell.rows, fact_column))
    return estimate(values, items, fact_column.bounds)


def _forgotten(task: str, cells: list[Cell]) -> Forgotten:
    entries = [e for cell in cells for e in cell.record.forgetting if e.task == task]
    at_floor = all(entry.at_floor for entry in entries)
    scores = [score for entry in entries for score in (*entry.base_items, *entry.tuned_items)]
    bounds = DIFFERENCE if all(0 <= score <= 1 for score in scores) else UNBOUNDED
    lost = estimate(
        [entry.forgetting for entry in entries],
        [item_losses(entry) for entry in entries],
        NON_NEGATIVE if task == DRIFT else bounds,
    )
    return Forgotten(
        task=task,
        base=float(np.mean([entry.base for entry in entries])),
        tuned=float(np.mean([entry.tuned for entry in entries])),
        at_floor=at_floor,
        lost=None if at_floor else lost,
    )


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
