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
MARKS = {Verdict.BETTER: "▲", Verdict.WORSE: "▼", Verdict.TIE: "≈"}
"""How a row compares with the reference; beside the values themselves a tie has no mark."""


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
        better: `↑` where more is better, `↓` where less is, empty where it is a matter of fact.
        show: The cell of a row.
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
        section: Of the table.
        versus: Whether differences to the reference have a column of their own.
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
        Column("training compute", "↓", partial(_recorded, "flops", wording.operations)),
        *(Column(f"{name.value} time", "↓", partial(_seconds, name)) for name in _phases(section)),
        *(Column(f"{name.value} memory", "↓", partial(_memory, name)) for name in _phases(section)),
    ]


def brief_columns(section: Section) -> list[Column]:
    """Return the columns for where room is short: one peak of memory, no column of differences."""
    return [
        *quality_columns(section, versus=False),
        _PARAMETERS,
        *(Column(f"{name.value} time", "↓", partial(_seconds, name)) for name in _phases(section)),
        Column("peak memory", "↓", _peak),
    ]


def _phases(section: Section) -> list[PhaseName]:
    return [name for name in PhaseName if any(name in row.phases for row in section.done)]


def _standing_columns(section: Section, versus: bool) -> list[Column]:
    rank = Column("rank", "", _rank)
    if not versus or not any(row.standing.comparisons for row in section.rows):
        return [rank]
    show = partial(_versus, section.headline, section.reference)
    return [rank, Column(f"vs {section.reference} (points)", "", show)]


def _rank(row: Row) -> Shown:
    rank = row.standing.rank
    if rank is None:
        return Shown(wording.MISSING)
    return Shown(wording.rank(rank), (rank.low + rank.high) / 2)


def _versus(metric: str, reference: str, row: Row) -> Shown:
    if row.label == reference:
        return Shown(REFERENCE, 0.0)
    found = row.standing.comparisons.get(metric)
    if found is None:
        return Shown(wording.MISSING)
    text = f"{MARKS[found.verdict]} {wording.points_interval(found.difference)}"
    return Shown(text, found.difference.value, found.difference)


def _marked(text: str, metric: str, row: Row) -> str:
    """Add the mark of a metric that differs from the reference's."""
    found = row.standing.comparisons.get(metric)
    distinct = found is not None and found.verdict is not Verdict.TIE
    return f"{text} {MARKS[found.verdict]}" if found and distinct else text


def _metric(metric: Metric, row: Row) -> Shown:
    found = row.metrics[metric.name]
    write = wording.percent_interval if metric.is_share else wording.nats_interval
    text = _marked(write(found), metric.name, row)
    return Shown(text, found.value if found else None, found)


def forgetting_header(task: str) -> str:
    """Return the header of what was forgotten of a task, with its unit."""
    return "drift (nats)" if task == DRIFT else f"forgets {task} (points)"


def _forgotten(task: str, row: Row) -> Shown:
    found = row.forgetting.get(task)
    text = forgotten_text(task, found)
    if found is None or found.lost is None:
        return Shown(text)
    return Shown(_marked(text, forgetting_metric(task), row), found.lost.value, found.lost)


def forgotten_text(task: str, found: Forgotten | None) -> str:
    """Write what was lost of a forgetting task, with its interval."""
    if found is None or found.lost is None:
        return wording.MISSING if found is None else AT_FLOOR
    return (wording.nats_interval if task == DRIFT else wording.points_interval)(found.lost)


def _recorded(field: str, write: Callable[[float | None], str], row: Row) -> Shown:
    found = row.first(field)
    return Shown(write(found), found)


def _seconds(phase: PhaseName, row: Row) -> Shown:
    cost = row.phases.get(phase)
    seconds = cost.seconds if cost else None
    return Shown(wording.duration(seconds), seconds)


def _memory(phase: PhaseName, row: Row) -> Shown:
    cost = row.phases.get(phase)
    peak = cost.peak_bytes if cost else None
    return Shown(wording.memory(peak), peak)


def _peak(row: Row) -> Shown:
    peak = max((cost.peak_bytes for cost in row.phases.values()), default=None)
    return Shown(wording.memory(peak), peak)


_PARAMETERS = Column("trainable parameters", "↓", partial(_recorded, "parameters", wording.count))
