"""The numbers of a model card: of the adapter itself, and over the seeds of its setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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


@dataclass(frozen=True)
class Measure:
    """One number of a card.

    Attributes:
        name: Its name in records: `reliability`, `forgetting.elements`, ...
        label: What people call it.
        unit: `%`, `points`, `nats` or `epochs`; in records, a share is a number from 0 to 1.
        arrow: Whether more is better.
        about: What it says, in a few words.
        own: The adapter's own, with an interval over facts or items.
        over_seeds: The mean over the seeds of its setting; None if there is one seed.
    """

    name: str
    label: str
    unit: str
    arrow: str
    about: str
    own: Estimate
    over_seeds: Estimate | None

    @property
    def header(self) -> str:
        """What tables call it."""
        return f"{self.label} ({self.unit}) {self.arrow}"

    def text(self, found: Estimate | None) -> str:
        """Write a value of this measure with its interval."""
        return _WRITTEN[self.unit](found)


_WRITTEN: dict[str, Callable[[Estimate | None], str]] = {
    "%": wording.percent_interval,
    "points": wording.points_interval,
    "epochs": wording.epochs_interval,
    "nats": wording.nats_interval,
}


@dataclass(frozen=True)
class Measured:
    """Everything that a card says in numbers.

    Attributes:
        seeds: Of the cells of the same setting in the folder, the adapter's own among them.
        learned: What was learned, and what carries over.
        forgotten: What was forgotten, and drift.
        bases: What the base scored on each forgetting task, in percent.
        at_floor: The tasks on which the base is not above chance, so that nothing can be lost.
    """

    seeds: tuple[int, ...]
    learned: tuple[Measure, ...]
    forgotten: tuple[Measure, ...]
    bases: dict[str, str]
    at_floor: tuple[str, ...]


def measured_cell(record: CellRecord, rows: Sequence[FactRow]) -> Cell:
    """Return a cell that is not stored yet as the report reads it."""
    table = arrow_table(rows)

    def read(columns: Sequence[str] | None) -> object:
        return selected(table, columns)

    [facts] = fact_tables([selected(table, read_columns())], [read])
    return Cell(record, facts)


def stored_cells(
    results: Path, record: CellRecord, records: Sequence[CellRecord] | None = None
) -> list[Cell]:
    """Return the done cells of a record's setting by seed, its own among them.

    Args:
        results: The results folder.
        record: The record.
        records: All of the folder, where they have been read already.

    Raises:
        UsageError: Fact rows are damaged.
    """
    store = ResultsStore(results)
    setting = _setting(record.spec)
    found = [
        other
        for other in (store.records().records if records is None else records)
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
    return Measured(
        seeds=tuple(cell.record.spec.seed for cell in cells),
        learned=(*_learned(alone, together), *_evaluated(alone, together)),
        forgotten=tuple(_forgotten(alone, together)),
        bases={task: wording.percent(f.base) for task, f in lost.items() if task != DRIFT},
        at_floor=tuple(task for task, f in lost.items() if f.at_floor),
    )


def _learned(alone: Aggregate, together: Aggregate | None) -> Iterator[Measure]:
    for name, metric in metric_table().items():
        own = alone.metrics[name]
        if metric.header and own is not None and own.is_of_enough:
            seeds = together.metrics[name] if together else None
            said = (metric.header, _unit(metric), metric.arrow, metric.explanation)
            yield Measure(name, *said, own, seeds)


def _unit(metric: Metric) -> str:
    if metric.is_share:
        return "%"
    return "epochs" if metric.column == "epochs_to_learn" else "nats"


def _evaluated(alone: Aggregate, together: Aggregate | None) -> Iterator[Measure]:
    for task, found in alone.evaluated.items():
        if found.tuned is not None:
            seeds = together.evaluated[task].tuned if together else None
            about = f"the score after training; the base scored {wording.percent(found.base)}"
            yield Measure(f"evaluated.{task}", task, "%", "↑", about, found.tuned, seeds)


def _forgotten(alone: Aggregate, together: Aggregate | None) -> Iterator[Measure]:
    for task, found in alone.forgetting.items():
        if found.lost is None:
            continue
        seeds = _lost(together.forgetting.get(task)) if together else None
        if task == DRIFT:
            about = "mean divergence from the base, KL(base || tuned) per token of its own texts"
            yield Measure(DRIFT, DRIFT, "nats", "↓", about, found.lost, seeds)
        else:
            about = "the base's score minus the score after training"
            yield Measure(f"forgetting.{task}", task, "points", "↓", about, found.lost, seeds)


def _lost(found: Forgotten | None) -> Estimate | None:
    return found.lost if found else None
