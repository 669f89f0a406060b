"""The columns that people read, once for Markdown, HTML and the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.evaluation.metrics import Metric, metric_table
from bench.report.leaderboard.board import DRIFT, Forgotten, Row, Section
from bench.report.leaderboard.standings import HEADLINES, forgetting_metric
from bench.report.statistics.comparison import Verdict
from bench.report.statistics.intervals import Estimate
from bench.report.tables import format as wording
from bench.store.records import PhaseName

AT_FLOOR = "at floor"
REFERENCE = "reference"
MARKS = {Verdict.BETTER: "▲", Verdict.WORSE: "▼", Verdict.TIE: "≈", Verdict.UNTESTED: ""}
"""How a row compares with the reference; beside the values themselves, a tie is unmarked."""


Write = Callable[[float | None], str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A table cell: its text, the number it sorts by, and the interval behind it."""

    text: str
    number: float | None = None
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        header: Short name with its unit.
        better: `↑` if more is better, `↓` if less is better, empty if neither is.
        show: Returns the cell of a row.
        scale: The range that interval bars are drawn over; None draws none.
    """

    header: str
    better: str
    show: Callable[[Row], Shown]
    scale: tuple[float, float] | None = None

    @property
    def title(self) -> str:
        """The header with its direction."""
        return f"{self.header} {self.better}".strip()


def quality_columns(section: Section, *, versus: bool = True) -> list[Column]:
    """Return what was learned and what was kept; columns without any value are left out.

    Args:
        section: The section that the table shows.
        versus: Whether differences from the reference have a column of their own.
    """
    shown = [metric for metric in metric_table().values() if metric.header]
    always = [_metric_column(metric) for metric in shown if metric.name in HEADLINES]
    others = [
        *_standing_columns(section, versus),
        *(_metric_column(metric) for metric in shown if metric.name not in HEADLINES),
        *(
            Column(forgetting_header(task), "↓", partial(_forgotten, task))
            for task in section.forgetting_tasks
        ),
    ]
    present = [
        column
        for column in others
        if any(column.show(row).text != wording.MISSING for row in section.done)
    ]
    return [*always, *present]


def _metric_column(metric: Metric) -> Column:
    scale = metric.bounds if math.inf not in metric.bounds else None
    return Column(metric.heading, metric.arrow, partial(_metric, metric), scale)


def cost_columns(section: Section) -> list[Column]:
    """Return what it cost: parameters, operations, time and memory per phase."""
    return [
        _PARAMETERS,
        _cost("training compute", lambda row: row.first("flops"), wording.operations),
        *_phase_columns(section, "time", "seconds", wording.duration),
        *_phase_columns(section, "memory", "peak_bytes", wording.memory),
    ]


def brief_columns(section: Section) -> list[Column]:
    """Return the columns for narrow tables: one peak of memory, no column of differences."""
    return [
        *quality_columns(section, versus=False),
        _PARAMETERS,
        *_phase_columns(section, "time", "seconds", wording.duration),
        _cost(
            "peak memory",
            lambda row: max((cost.peak_bytes for cost in row.phases.values()), default=None),
            wording.memory,
        ),
    ]


def _cost(header: str, read: Callable[[Row], float | None], write: Write) -> Column:
    def show(row: Row) -> Shown:
        found = read(row)
        return Shown(write(found), found)

    return Column(header, "↓", show)


def _phase_columns(section: Section, word: str, field: str, write: Write) -> list[Column]:
    """Return a column for each phase that any row has, of one field of its cost."""

    def of_phase(name: PhaseName, row: Row) -> float | None:
        return getattr(row.phases.get(name), field, None)

    there = [name for name in PhaseName if any(name in row.phases for row in section.done)]
    return [_cost(f"{name.value} {word}", partial(of_phase, name), write) for name in there]


def _standing_columns(section: Section, versus: bool) -> list[Column]:
    rank = Column("rank", "", _rank)
    if not versus or not any(row.standing.comparisons for row in section.rows):
        return [rank]
    show = partial(_versus, section.headline, section.reference)
    return [rank, Column(f"vs {section.reference} (points)", "", show)]


def _rank(row: Row) -> Shown:
    rank = row.standing.rank
    return Shown(wording.rank(rank), None if rank is None else (rank.low + rank.high) / 2)


def _versus(metric: str, reference: str, row: Row) -> Shown:
    if row.label == reference:
        return Shown(REFERENCE, 0.0)
    found = row.standing.comparisons.get(metric)
    if found is None:
        return Shown(wording.MISSING)
    text = f"{MARKS[found.verdict]} {wording.points_interval(found.difference)}".strip()
    return _shown(text, found.difference)


def _marked(text: str, metric: str, row: Row) -> str:
    """Add the mark of a metric that differs from the reference's."""
    found = row.standing.comparisons.get(metric)
    differs = found is not None and found.verdict in (Verdict.BETTER, Verdict.WORSE)
    return f"{text} {MARKS[found.verdict]}" if found is not None and differs else text


def _shown(text: str, found: Estimate | None) -> Shown:
    """Return a cell; one of too few items to be shown has no number to sort by either."""
    if found is None or not found.is_of_enough:
        return Shown(text)
    return Shown(text, found.value, found)


def _metric(metric: Metric, row: Row) -> Shown:
    found = row.metrics[metric.name]
    write = wording.percent_interval if metric.is_share else wording.nats_interval
    text = _marked(write(found), metric.name, row)
    return _shown(text, found)


def forgetting_header(task: str) -> str:
    """Return the header of what was forgotten of a task, with its unit."""
    return "drift (nats)" if task == DRIFT else f"forgets {task} (points)"


def _forgotten(task: str, row: Row) -> Shown:
    found = row.forgetting.get(task)
    text = forgotten_text(task, found)
    if found is None or found.lost is None:
        return Shown(text)
    return _shown(_marked(text, forgetting_metric(task), row), found.lost)


def forgotten_text(task: str, found: Forgotten | None) -> str:
    """Write what was lost of a forgetting task, with its interval."""
    if found is None or found.lost is None:
        return wording.MISSING if found is None else AT_FLOOR
    return (wording.nats_interval if task == DRIFT else wording.points_interval)(found.lost)


_PARAMETERS = _cost("trainable parameters", lambda row: row.first("parameters"), wording.count)
