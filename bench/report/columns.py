"""The columns that people read, once for Markdown, HTML and the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.records import PhaseName
from bench.report import wording
from bench.report.board import DRIFT, Row, Section
from bench.report.statistics import Estimate

AT_FLOOR = "at floor"


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


def quality_columns(section: Section) -> list[Column]:
    """Return what was learned and what was kept; columns without any value are left out."""
    columns = [
        Column("reliability %", "↑", partial(_share, "reliability"), (0, 1)),
        Column("reliability unknown %", "↑", partial(_share, "reliability_unknown"), (0, 1)),
        Column("updated %", "↑", partial(_share, "updated"), (0, 1)),
        Column("still old %", "↓", partial(_share, "still_old"), (0, 1)),
        Column("generality %", "↑", partial(_share, "generality"), (0, 1)),
        Column("locality %", "↑", partial(_share, "locality"), (0, 1)),
        *(_forgetting_column(task) for task in section.forgetting_tasks),
    ]
    always = columns[:2]
    return [c for c in columns if c in always or any(_present(c, row) for row in section.done)]


def cost_columns(section: Section) -> list[Column]:
    """Return what it cost: parameters, operations, time and memory per phase."""
    return [
        Column("trainable parameters", "↓", _parameters),
        Column("training compute", "↓", _flops),
        *(Column(f"{name.value} time", "↓", partial(_seconds, name)) for name in _phases(section)),
        *(Column(f"{name.value} memory", "↓", partial(_memory, name)) for name in _phases(section)),
    ]


def brief_columns(section: Section) -> list[Column]:
    """Return the columns for where room is short: one peak of memory over all phases."""
    return [
        *quality_columns(section),
        Column("trainable parameters", "↓", _parameters),
        *(Column(f"{name.value} time", "↓", partial(_seconds, name)) for name in _phases(section)),
        Column("peak memory", "↓", _peak),
    ]


def _phases(section: Section) -> list[PhaseName]:
    return [name for name in PhaseName if any(name in row.phases for row in section.done)]


def _present(column: Column, row: Row) -> bool:
    return column.show(row).text != wording.MISSING


def _share(metric: str, row: Row) -> Shown:
    found = row.metrics[metric]
    return Shown(wording.percent_interval(found), found.value if found else None, found)


def _forgetting_column(task: str) -> Column:
    header = "drift nats" if task == DRIFT else f"forgets {task} %"
    return Column(header, "↓", partial(_forgotten, task))


def _forgotten(task: str, row: Row) -> Shown:
    found = row.forgetting.get(task)
    if found is None:
        return Shown(wording.MISSING)
    if found.lost is None:
        return Shown(AT_FLOOR)
    write = wording.nats_interval if task == DRIFT else wording.points_interval
    return Shown(write(found.lost), found.lost.value, found.lost)


def _parameters(row: Row) -> Shown:
    found = row.first("parameters")
    return Shown(wording.count(found), found)


def _flops(row: Row) -> Shown:
    found = row.first("flops")
    return Shown(wording.operations(found), found)


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
