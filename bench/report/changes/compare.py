"""One row in both folders: what is compared, paired by seed and by fact or item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.evaluation.metrics import Metric
from bench.report.changes.facts import (
    ChangedAnswer,
    ReadCell,
    changed_answers,
    on_common_facts,
)
from bench.report.leaderboard.board import DRIFT, Row
from bench.report.leaderboard.half_dose import AT_HALF_DOSE, compared_names, section_metrics
from bench.report.leaderboard.standings import (
    evaluation_metric,
    forgetting_metric,
    measured,
)
from bench.report.leaderboard.standings import on_common_facts as both_counted
from bench.report.statistics.comparison import Comparison, Measured, compare_all, corrected
from bench.report.statistics.intervals import Estimate
from bench.report.tables import format as wording
from bench.report.tables.columns import forgetting_header


@dataclass(frozen=True, slots=True)
class Measure:
    """What is compared.

    Attributes:
        name: As in `leaderboard.csv`: `reliability`, `forgetting.elements`, `drift`.
        heading: As tables head it, with its unit and direction.
        value: Writes a mean.
        difference: Writes a difference with its interval.
    """

    name: str
    heading: str
    value: Callable[[float], str]
    difference: Callable[[Estimate | None], str]


@dataclass(frozen=True, slots=True)
class Change:
    """One measure of a row in both folders.

    Attributes:
        measure: What is compared.
        a, b: The means over what is paired.
        comparison: B minus A.
        paired: How many facts or items are paired, over all seeds.
        moved: How many of these differ by more than rounding.
    """

    measure: Measure
    a: float
    b: float
    comparison: Comparison
    paired: int
    moved: int


@dataclass(frozen=True)
class RowChange:
    """One method in one setting.

    Attributes:
        label: The method, with what sets it apart from other rows of its table.
        pairs: Its cells in A and B, by seed, on the facts that all of them have.
        changes: By the measure's name, what both folders have measured.
        answers: The facts whose answers changed.
        notes: Lines on what could not be compared.
    """

    label: str
    pairs: tuple[tuple[ReadCell, ReadCell], ...]
    changes: Mapping[str, Change]
    answers: tuple[ChangedAnswer, ...]
    notes: tuple[str, ...]


def row_changes(
    rows: Sequence[tuple[str, Sequence[tuple[ReadCell, ReadCell]]]],
) -> list[RowChange]:
    """Compare rows; Holm's correction is over all of them, for each measure separately.

    Args:
        rows: The label of each, and its cells in A and B; at least one pair.
    """
    found = [_row(*row) for row in rows]
    for name in dict.fromkeys(name for row in found for name in row.changes):
        of_rows = [row.changes.get(name) for row in found]
        tested = corrected([None if c is None else c.comparison for c in of_rows])
        for place, (change, comparison) in enumerate(zip(of_rows, tested, strict=True)):
            if change is not None and comparison is not None:
                marked = {**found[place].changes, name: replace(change, comparison=comparison)}
                found[place] = replace(found[place], changes=marked)
    return found


def _row(label: str, pairs: Sequence[tuple[ReadCell, ReadCell]]) -> RowChange:
    cells = [cell for pair in pairs for cell in pair]
    aligned = on_common_facts(cells)
    pairs = list(zip(aligned[::2], aligned[1::2], strict=True))
    a, b = (_as_row(label, [pair[side] for pair in pairs]) for side in (0, 1))
    answers = (answer for pair in pairs for answer in changed_answers(label, *pair))
    return RowChange(
        label=label,
        pairs=tuple(pairs),
        changes=_changes(a, b),
        answers=tuple(answers),
        notes=(*_common(cells, aligned), *_not_compared(a, b)),
    )


def _as_row(label: str, cells: Sequence[ReadCell]) -> Row:
    """Return the cells as a row of the leaderboard, whose statistics are used."""
    own = tuple(found.cell for found in cells)
    return Row(label, own[0].record.spec, own, (), {}, {}, {})


def _changes(a: Row, b: Row) -> dict[str, Change]:
    measures = _measures(a, b)
    pairs = [_on_both(a, b, name) for name in measures]
    compared = compare_all([(of_b, of_a) for of_a, of_b in pairs])
    return {
        name: _change(measures[name], of_a, of_b, found)
        for name, (of_a, of_b), found in zip(measures, pairs, compared, strict=True)
        if found is not None and found.difference.is_of_enough
    }


def _on_both(a: Row, b: Row, name: str) -> tuple[Measured, Measured]:
    """Return a measure of both, of facts on those that count for it in all cells."""
    common = both_counted(a, b, name)
    return common if common is not None else (measured(a, name), measured(b, name))


def _change(measure: Measure, a: Measured, b: Measured, comparison: Comparison) -> Change:
    of_a, of_b = ([side.by_seed[seed] for seed in comparison.seeds] for side in (a, b))
    mean_a, mean_b = (float(np.mean([values.mean() for values in s])) for s in (of_a, of_b))
    one, other = np.concatenate(of_a), np.concatenate(of_b)
    moved = int((~np.isclose(one, other)).sum())
    return Change(measure, mean_a, mean_b, comparison, paired=len(one), moved=moved)


def _measures(a: Row, b: Row) -> dict[str, Measure]:
    """Return what may be compared of a row: metrics, then what was learned and lost besides."""
    metrics = section_metrics(None)
    names = [name for name in compared_names() if name != AT_HALF_DOSE]
    there = [name for name in names if all(_has(row, name) for row in (a, b))]
    found = {name: _metric_measure(metrics[name]) for name in there}
    cells = [cell.record for cell in (*a.cells, *b.cells)]
    for task in sorted({entry.task for record in cells for entry in record.evaluated}):
        name = evaluation_metric(task)
        found[name] = _in_points(name, f"learned {task} (%) ↑", wording.percent)
    for task in sorted({entry.task for record in cells for entry in record.forgetting}):
        name, heading = forgetting_metric(task), f"{forgetting_header(task)} ↓"
        if task == DRIFT:
            found[name] = Measure(name, heading, _nats, wording.more_nats_interval)
        else:
            found[name] = _in_points(name, heading, wording.points)
    return found


def _has(row: Row, name: str) -> bool:
    """Return whether some cell has a metric: those of classification are not for facts."""
    return any(getattr(cell.record.metrics, name, None) is not None for cell in row.cells)


def _in_points(name: str, heading: str, write: Callable[[float], str]) -> Measure:
    return Measure(name, heading, write, wording.points_interval)


def _metric_measure(metric: Metric) -> Measure:
    heading = f"{metric.heading} {metric.arrow}"
    if metric.is_share:
        return _in_points(metric.name, heading, wording.percent)
    if metric.column == "epochs_to_learn":
        return Measure(metric.name, heading, _epochs, wording.more_epochs_interval)
    return Measure(metric.name, heading, _nats, wording.more_nats_interval)


def _epochs(value: float) -> str:
    return f"{value:.1f}"


def _nats(value: float) -> str:
    return f"{value:.3f}"


def _common(cells: Sequence[ReadCell], aligned: Sequence[ReadCell]) -> list[str]:
    asked = max(len(cell.facts) for cell in cells)
    left = len(aligned[0].facts)
    return [] if left == asked else [f"compared on the {left} of {asked} facts that all cells have"]


def _not_compared(a: Row, b: Row) -> list[str]:
    """Say which tasks were measured in one folder alone, or on other items."""
    found: list[str] = []
    kinds = {"forgetting": "", "evaluated": " (--evaluate)"}
    for field, told in kinds.items():
        digests = [
            {
                (entry.task, cell.record.spec.seed): entry.digest
                for cell in row.cells
                for entry in getattr(cell.record, field)
            }
            for row in (a, b)
        ]
        for task in sorted({task for side in digests for task, _ in side}):
            own = [{s: d for (t, s), d in side.items() if t == task} for side in digests]
            if not all(own):
                found.append(f"{task}{told}: measured only in {'A' if own[0] else 'B'}")
            elif not any(own[0].get(seed) == digest for seed, digest in own[1].items()):
                found.append(f"{task}{told}: measured on other items in B, so not compared")
    return found
