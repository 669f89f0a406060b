"""The numbers of a model card: of the adapter itself, and over the seeds of its setting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.evaluation.metrics import Metric, metric_table
from bench.report.leaderboard.aggregates import Aggregate, aggregates
from bench.report.leaderboard.board import DRIFT, Cell, Forgotten
from bench.report.leaderboard.fact_table import fact_tables, read_columns
from bench.report.leaderboard.read_cells import load_cells
from bench.report.statistics.intervals import Estimate
from bench.report.tables import format as wording
from bench.store.formats import arrow_table, selected
from bench.store.records import CellRecord, CellSpec, FactRow, Status
from bench.store.store import ResultsStore

AT_FLOOR = "at chance before training"


@dataclass(frozen=True)
class Measure:
    """One number of a card.

    Attributes:
        name: Its name in records: `reliability`, `forgetting.elements`, ...
        header: What tables call it, with its unit.
        about: What it says, in a few words.
        own: The adapter's own, with an interval over facts or items.
        over_seeds: The mean over the seeds of its setting; None if there is one seed.
    """

    name: str
    header: str
    about: str
    own: Estimate
    over_seeds: Estimate | None

    def text(self, found: Estimate | None) -> str:
        """Write a value of this measure with its interval."""
        if self.name.startswith("forgetting."):
            return wording.points_interval(found)
        if "(%)" in self.header:
            return wording.percent_interval(found)
        epochs = "epochs" in self.header
        return wording.epochs_interval(found) if epochs else wording.nats_interval(found)


@dataclass(frozen=True)
class Measured:
    """Everything that a card says in numbers.

    Attributes:
        seeds: Of the cells of the same setting in the folder, the adapter's own among them.
        learned: What was learned, and what carries over.
        forgotten: What was forgotten, and drift.
        bases: What the base scored on each forgetting task, in percent; a remark at chance.
    """

    seeds: tuple[int, ...]
    learned: tuple[Measure, ...]
    forgotten: tuple[Measure, ...]
    bases: dict[str, str]


def measured_cell(record: CellRecord, rows: Sequence[FactRow]) -> Cell:
    """Return a cell that is not stored yet as the report reads it."""
    table = arrow_table(rows)

    def read(columns: Sequence[str] | None) -> object:
        return selected(table, columns)

    [facts] = fact_tables([selected(table, read_columns())], [read])  # type: ignore[list-item]
    return Cell(record, facts)


def stored_cells(results: Path, record: CellRecord) -> list[Cell]:
    """Return the done cells of a record's setting by seed, its own among them.

    Raises:
        UsageError: Fact rows are damaged.
    """
    store = ResultsStore(results)
    setting = _setting(record.spec)
    found = [
        other
        for other in store.records().records
        if other.status is Status.DONE and _setting(other.spec) == setting
    ]
    return load_cells(store, sorted(found, key=lambda other: other.spec.seed))


def _setting(spec: CellSpec) -> str:
    """Write what cells of one row of the leaderboard have in common: all but the seed."""
    return spec.model_dump_json(
        exclude={"seed": True, "tuned": {"over", "values"}, "after": {"cell"}}
    )


def measure(own: Cell, cells: Sequence[Cell]) -> Measured:
    """Estimate what a card says.

    Args:
        own: The adapter's cell.
        cells: All of its setting, its own among them.
    """
    several = len(cells) > 1
    alone, *others = aggregates([[own], cells] if several else [[own]])
    together = others[0] if others else None
    lost = alone.forgetting
    bases = {task: AT_FLOOR if f.at_floor else wording.percent(f.base) for task, f in lost.items()}
    return Measured(
        seeds=tuple(cell.record.spec.seed for cell in cells),
        learned=(*_learned(alone, together), *_evaluated(alone, together)),
        forgotten=tuple(_forgotten(alone, together)),
        bases={task: text for task, text in bases.items() if task != DRIFT},
    )


def _learned(alone: Aggregate, together: Aggregate | None) -> Iterator[Measure]:
    for name, metric in metric_table().items():
        own = alone.metrics[name]
        if metric.header and own is not None and own.is_of_enough:
            seeds = together.metrics[name] if together else None
            yield Measure(name, _heading(metric), metric.explanation, own, seeds)


def _heading(metric: Metric) -> str:
    return f"{metric.heading} {metric.arrow}"


def _evaluated(alone: Aggregate, together: Aggregate | None) -> Iterator[Measure]:
    for task, found in alone.evaluated.items():
        if found.tuned is not None:
            seeds = together.evaluated[task].tuned if together else None
            about = f"the score after training; the base scored {wording.percent(found.base)}"
            yield Measure(f"evaluated.{task}", f"{task} (%) ↑", about, found.tuned, seeds)


def _forgotten(alone: Aggregate, together: Aggregate | None) -> Iterator[Measure]:
    for task, found in alone.forgetting.items():
        if found.lost is None:
            continue
        seeds = _lost(together.forgetting.get(task)) if together else None
        if task == DRIFT:
            about = "mean divergence from the base, KL(base || tuned) per token of its own texts"
            yield Measure("drift", "drift (nats) ↓", about, found.lost, seeds)
        else:
            about = "the base's score minus the score after training"
            yield Measure(f"forgetting.{task}", f"{task} (points) ↓", about, found.lost, seeds)


def _lost(found: Forgotten | None) -> Estimate | None:
    return found.lost if found else None
