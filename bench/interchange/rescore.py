"""Judge the stored answers of a results folder anew, without a model, into another folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.interchange.rescored_rows import (
    VERDICTS,
    UnknownRuleError,
    rescored_metrics,
    rescored_rows,
)
from bench.interchange.scorings import AS_STORED, Scoring
from bench.planning.planned_cell import cell_id
from bench.store.records import CellRecord, FactRow, Rescored, Status
from bench.store.store import DamagedRowsError, ResultsStore
from tasks.errors import UsageError


@dataclass(frozen=True, slots=True)
class RescoredCell:
    """One cell before and after.

    Attributes:
        old: Its record as stored.
        new: The record that was written.
        changed: How many answers of the trained model are judged otherwise, in all contexts.
        answers: How many there are.
    """

    old: CellRecord
    new: CellRecord
    changed: int
    answers: int


@dataclass(frozen=True, slots=True)
class Rescoring:
    """What was written, and a line for each cell that could not be."""

    cells: tuple[RescoredCell, ...]
    problems: tuple[str, ...]


def rescore(source: Path, target: Path, scoring: Scoring) -> Rescoring:
    """Judge all cells of a results folder anew.

    Args:
        source: The results folder; it is only read.
        target: Where the cells are written; new or empty.
        scoring: The rule.

    Raises:
        UsageError: The source holds no cell that can be judged, the target is not empty, or a
            user's rule fails.
    """
    store = ResultsStore(source)
    found = store.records()
    if not found.records and not found.problems:
        raise UsageError(f"no cells in '{source}': give a results folder")
    _refuse_full(target)
    problems = list(found.problems)
    judged = list(_judged(store, found.records, scoring, problems))
    if not judged:
        raise UsageError(f"no cell in '{source}' can be judged anew: {problems[0]}")
    output = ResultsStore(target)
    output.ensure_writable()
    for cell, rows in judged:
        output.write(cell.new, rows)
    return Rescoring(tuple(cell for cell, _ in judged), tuple(problems))


def _refuse_full(target: Path) -> None:
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(
            f"--to '{target}' is there already and not an empty folder: give a new one"
        )


def _judged(
    store: ResultsStore,
    records: tuple[CellRecord, ...],
    scoring: Scoring,
    problems: list[str],
) -> Iterator[tuple[RescoredCell, list[FactRow]]]:
    for record in records:
        if record.spec.rescored is not None:
            problems.append(f"cell {record.cell_id}: judged anew already; give what it came from")
            continue
        try:
            yield _cell(store, record, scoring)
        except (DamagedRowsError, UnknownRuleError) as error:
            problems.append(f"cell {record.cell_id}: {error}")


def _cell(
    store: ResultsStore, record: CellRecord, scoring: Scoring
) -> tuple[RescoredCell, list[FactRow]]:
    stored = store.fact_table(record.cell_id).to_pylist()
    rows = rescored_rows(stored, record.spec.train_prompt.asked, scoring)
    verdicts = [
        (old.get(name), getattr(new, name, None))
        for old, new in zip(stored, rows, strict=True)
        for name in VERDICTS
    ]
    given = [(was, now) for was, now in verdicts if was is not None]
    changed = sum(was != now for was, now in given)
    return RescoredCell(record, _record(record, rows, scoring), changed, len(given)), rows


def _record(record: CellRecord, rows: list[FactRow], scoring: Scoring) -> CellRecord:
    spec = record.spec.model_copy(
        update={"rescored": Rescored(scoring=scoring.name, digest=scoring.digest)}
    )
    changes: dict[str, object] = {
        "cell_id": cell_id(spec),
        "spec": spec,
        "adapter_path": "",  # it lies in the source
        "notes": {**record.notes, "rescored_from": record.cell_id},
    }
    if record.metrics is not None:
        changes["metrics"] = rescored_metrics(record.metrics, rows)
    if record.status is Status.DONE:
        changes["warnings"] = [*record.warnings, _told(scoring)]
    return record.model_copy(update=changes)


def _told(scoring: Scoring) -> str:
    """Say beside the tables what was judged anew and what was not."""
    if scoring.name == AS_STORED:
        return "stored answers were judged anew by the rule of the task itself"
    return (
        f"stored answers were judged anew, by '{scoring.name}'; paraphrases, neighbours and "
        "consequences, whose answers are not stored, are left out; what the base knew, epochs, "
        "distances and forgetting are as they were measured"
    )
