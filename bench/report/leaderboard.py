"""From records and fact rows to the rows of the leaderboard; pure functions, no output.

A section holds what may be compared: one base, one selection of facts, one prompt. A row of it
is one method in one setting; its done cells, one per seed, are aggregated. A cell that is not
done is a failure beside its row and is never averaged over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from bench.records import CellRecord, CellSpec, Forgetting, PhaseName, Status
from bench.report.statistics import (
    DIFFERENCE,
    NON_NEGATIVE,
    SHARE,
    UNBOUNDED,
    Bounds,
    Estimate,
    Floats,
    IntervalKind,
    estimate,
)
from bench.report.titles import setting_labels
from tasks.forgetting.names import ForgettingKind

DRIFT = ForgettingKind.DRIFT.value
"""The forgetting task that needs no data: mean KL to the base, in nats per token."""

FACT_COLUMNS: dict[str, tuple[str, Bounds]] = {
    "reliability": ("correct_after", SHARE),
    "reliability_unknown": ("correct_after", SHARE),
    "reliability_plain": ("correct_plain", SHARE),
    "reliability_before": ("correct_before", SHARE),
    "token_f1": ("f1_after", SHARE),
    "generality": ("generality", SHARE),
    "locality": ("locality", SHARE),
    "nll_before": ("nll_before", NON_NEGATIVE),
    "nll_after": ("nll_after", NON_NEGATIVE),
    "distance_before": ("distance_before", NON_NEGATIVE),
    "distance_after": ("distance_after", NON_NEGATIVE),
}
"""Every metric: the column of fact rows that it averages, and the values it can take."""


@dataclass(frozen=True)
class Cell:
    """A cell with its fact rows (columns of `FactRow`), sorted by fact id."""

    record: CellRecord
    rows: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell that has no result, and why."""

    cell_id: str
    label: str
    seed: int
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """One forgetting task over the seeds of a row; `lost` is None where the base is at floor."""

    task: str
    base: float
    tuned: float
    at_floor: bool
    lost: Estimate | None


@dataclass(frozen=True, slots=True)
class Cost:
    """One phase: mean seconds with nothing cached, and the highest peak of memory in bytes."""

    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Row:
    """One method in one setting.

    Attributes:
        label: The method as people write it, with what sets it apart from other rows of it.
        spec: Of its first cell; all but the seed is shared.
        cells: The done ones, by seed.
        forgetting: By task, `drift` among them.
    """

    label: str
    spec: CellSpec
    cells: tuple[Cell, ...]
    failures: tuple[Failure, ...]
    metrics: dict[str, Estimate | None]
    forgetting: dict[str, Forgotten]
    phases: dict[PhaseName, Cost]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that are done."""
        return tuple(cell.record.spec.seed for cell in self.cells)

    @property
    def interval_kind(self) -> IntervalKind:
        """What most of the row's intervals cover, by its number of seeds."""
        kinds = (IntervalKind.NONE, IntervalKind.FACTS, IntervalKind.SEEDS_AND_FACTS)
        return kinds[len(self.cells)] if len(self.cells) < 3 else IntervalKind.SEEDS

    def first(self, field: str) -> float | None:
        """Return the first value that its done cells recorded for a field of the record."""
        values = (getattr(cell.record, field) for cell in self.cells)
        return next((value for value in values if value is not None), None)


@dataclass(frozen=True)
class Section:
    """Rows that may be compared with each other, best first; `title` is unique."""

    title: str
    model: str
    task: str
    facts: int
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]

    @property
    def done(self) -> tuple[Row, ...]:
        """Rows with at least one done cell."""
        return tuple(row for row in self.rows if row.cells)

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds that any row has."""
        return tuple(sorted({seed for row in self.rows for seed in row.seeds}))

    @property
    def forgetting_tasks(self) -> tuple[str, ...]:
        """Names of the forgetting tasks, `drift` last."""
        names = {name for row in self.rows for name in row.forgetting}
        return tuple(sorted(names, key=lambda name: (name == DRIFT, name)))


@dataclass(frozen=True)
class Leaderboard:
    """All sections, and files of the folder that could not be read."""

    sections: tuple[Section, ...]
    problems: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all sections."""
        return tuple(row for section in self.sections for row in section.rows)


def build_leaderboard(cells: Iterable[Cell], problems: Sequence[str] = ()) -> Leaderboard:
    """Group cells into sections and rows, and aggregate each row over its seeds."""
    ordered = sorted(cells, key=lambda cell: (*_section_key(cell), cell.record.cell_id))
    groups = [list(members) for _, members in groupby(ordered, key=_section_key)]
    titles = setting_labels(
        [(f"{g[0].record.spec.model} on {g[0].record.spec.task}", g[0].record.spec) for g in groups]
    )
    sections = (_section(title, group) for title, group in zip(titles, groups, strict=True))
    return Leaderboard(tuple(sections), tuple(problems))


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


def _section(title: str, cells: list[Cell]) -> Section:
    ordered = sorted(cells, key=lambda cell: (_row_key(cell), cell.record.spec.seed))
    groups = [list(members) for _, members in groupby(ordered, key=_row_key)]
    labels = setting_labels([(g[0].record.spec.method, g[0].record.spec) for g in groups])
    rows = [_row(label, group) for label, group in zip(labels, groups, strict=True)]
    spec = cells[0].record.spec
    return Section(
        title=title,
        model=spec.model,
        task=spec.task,
        facts=spec.facts,
        rows=tuple(sorted(rows, key=_rank)),
        warnings=(*_warnings(rows), *_mixed_items(rows)),
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
    column, bounds = FACT_COLUMNS[name]
    values, items = [], []
    for cell in cells:
        value = getattr(cell.record.metrics, name, None)
        if value is not None:
            values.append(value)
            items.append(_per_fact(cell.rows, column, name == "reliability_unknown"))
    return estimate(values, items, bounds)


def _per_fact(rows: pd.DataFrame, column: str, unknown_only: bool) -> Floats:
    chosen = rows[~rows["correct_before"].astype(bool)] if unknown_only else rows
    values: Floats = chosen[column].to_numpy(dtype=np.float64)
    return values[~np.isnan(values)]


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


def item_losses(entry: Forgetting) -> Floats:
    """Return what each item lost, `[items]`: base minus tuned, or its KL for drift."""
    tuned = np.asarray(entry.tuned_items, dtype=np.float64)
    return tuned if entry.task == DRIFT else np.asarray(entry.base_items) - tuned


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
