"""The columns that people read, once for Markdown, HTML and the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.evaluation.metrics import Metric
from bench.report.leaderboard.board import DRIFT, Forgotten, Row, Section
from bench.report.leaderboard.equal_learning import equal_learning_metric
from bench.report.leaderboard.half_dose import AT_HALF_DOSE, EPOCHS_UNKNOWN, section_metrics
from bench.report.leaderboard.standings import evaluation_metric, forgetting_metric
from bench.report.statistics.comparison import Verdict
from bench.report.statistics.intervals import Estimate
from bench.report.tables import format as wording
from bench.report.tables.units import GIB, MILLIONS, PERCENT, PLAIN, SECONDS, TFLOP, Unit
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
        unit: What its numbers are drawn in.
    """

    header: str
    better: str
    show: Callable[[Row], Shown]
    scale: tuple[float, float] | None = None
    unit: Unit = PLAIN

    @property
    def title(self) -> str:
        """The header with its direction."""
        return f"{self.header} {self.better}".strip()

    @property
    def axis(self) -> str:
        """The header with the unit that numbers are drawn in."""
        return f"{self.header} ({self.unit.name})" if self.unit.name else self.header


def quality_columns(section: Section, *, versus: bool = True) -> list[Column]:
    """Return what was learned and what was kept; columns without any value are left out.

    Args:
        section: The section that the table shows.
        versus: Whether differences from the reference have a column of their own.
    """
    metrics = section_metrics(section.half_dose).values()
    shown = sorted((m for m in metrics if m.header), key=lambda metric: metric.is_mean)
    return _present(
        section,
        [
            *(_metric_column(metric) for metric in shown if _leads(metric)),
            *_standing_columns(section, versus),
            *_learned_columns(section),
            *(_metric_column(metric) for metric in shown if not _leads(metric)),
            *_lost_columns(section),
        ],
    )


_FIRST = (EPOCHS_UNKNOWN, AT_HALF_DOSE)
"""How fast facts were learned, which tells methods apart before all have learned everything."""


def _leads(metric: Metric) -> bool:
    """Return whether a metric stands first, as do those that only a classification has."""
    return metric.name in _FIRST or not metric.is_mean


def _present(section: Section, columns: list[Column]) -> list[Column]:
    """Leave out the columns without any value, as of a context that the model does not have.

    Where nothing is done, one stays: how fast facts were learned, which every task has.
    """
    if not section.done:
        return [_metric_column(section_metrics(section.half_dose)[EPOCHS_UNKNOWN])]
    return [
        column
        for column in columns
        if any(column.show(row).text != wording.MISSING for row in section.done)
    ]


def _learned_columns(section: Section) -> list[Column]:
    return [
        Column(f"learned {task} (%)", "↑", partial(_evaluated, task), (0.0, 1.0), PERCENT)
        for task in section.evaluated_tasks
    ]


def _lost_columns(section: Section) -> list[Column]:
    at_end = (
        Column(forgetting_header(task), "↓", partial(_forgotten, task), unit=_lost_unit(task))
        for task in section.forgetting_tasks
    )
    at_90 = (
        Column(
            _equal_header(task, 0.9),
            "↓",
            partial(_at_equal_learning, task, 0.9),
            unit=_lost_unit(task),
        )
        for task in section.forgetting_tasks
    )
    return [*at_end, *at_90]


def _lost_unit(task: str) -> Unit:
    return PLAIN if task == DRIFT else PERCENT


def _metric_column(metric: Metric) -> Column:
    scale = metric.bounds if math.inf not in metric.bounds else None
    unit = PERCENT if metric.is_share else PLAIN
    return Column(metric.heading, metric.arrow, partial(_metric, metric), scale, unit)


def cost_columns(section: Section) -> list[Column]:
    """Return what it cost: parameters, operations, time and memory per phase."""
    return [
        _PARAMETERS,
        _cost("training compute", lambda row: row.first("flops"), wording.operations, TFLOP),
        *_phase_columns(section, "time", "seconds", wording.duration, SECONDS),
        *_phase_columns(section, "memory", "peak_bytes", wording.memory, GIB),
    ]


def brief_columns(section: Section) -> list[Column]:
    """Return the columns for narrow tables: what tells methods apart, no column of differences."""
    metrics = section_metrics(section.half_dose)
    named = {
        name: _metric_column(metric)
        for name, metric in metrics.items()
        if metric.header and not name.startswith(_NOT_BRIEF)
    }
    leading = [*(name for name in named if not metrics[name].is_mean), *_FIRST]
    first, carried = (
        [named.pop(name) for name in names if name in named] for names in (leading, _BRIEF_CARRIED)
    )
    columns = [
        *first,
        *_standing_columns(section, versus=False),
        *_learned_columns(section),
        *carried,
        *named.values(),
        *_lost_columns(section),
    ]
    return [
        *_present(section, columns),
        _cost("train time", _training_seconds, wording.duration),
        _cost(
            "peak memory",
            lambda row: row.peak_bytes,
            wording.memory,
        ),
    ]


_BRIEF_CARRIED = ("robustness.chat", "robustness.bare")
_NOT_BRIEF = ("robustness.few_shot", "generality", "confusion.", "locality", "balanced_accuracy")
"""Metrics that a terminal has no room for, by how their names begin."""


def _training_seconds(row: Row) -> float | None:
    cost = row.phases.get(PhaseName.TRAIN)
    return cost.seconds if cost else None


def _cost(
    header: str, read: Callable[[Row], float | None], write: Write, unit: Unit = PLAIN
) -> Column:
    def show(row: Row) -> Shown:
        found = read(row)
        return Shown(write(found), found)

    return Column(header, "↓", show, unit=unit)


def _phase_columns(
    section: Section, word: str, field: str, write: Write, unit: Unit
) -> list[Column]:
    """Return a column for each phase that any row has, of one field of its cost."""

    def of_phase(name: PhaseName, row: Row) -> float | None:
        return getattr(row.phases.get(name), field, None)

    there = [name for name in PhaseName if any(name in row.phases for row in section.done)]
    return [_cost(f"{name.value} {word}", partial(of_phase, name), write, unit) for name in there]


def _standing_columns(section: Section, versus: bool) -> list[Column]:
    rank = Column("rank", "", _rank)
    if not versus or not any(row.standing.comparisons for row in section.rows):
        return [rank]
    metric = section_metrics(section.half_dose).get(section.headline)
    is_share = metric is None or metric.is_share  # no metric of facts: a score of --evaluate
    word, unit = ("points", PERCENT) if is_share else ("epochs", PLAIN)
    show = partial(_versus, section.headline, is_share, section.reference)
    return [rank, Column(f"vs {section.reference} ({word})", "", show, unit=unit)]


def _rank(row: Row) -> Shown:
    rank = row.standing.rank
    return Shown(wording.rank(rank), None if rank is None else (rank.low + rank.high) / 2)


def _versus(headline: str, is_share: bool, reference: str, row: Row) -> Shown:
    if row.label == reference:
        return Shown(REFERENCE, 0.0)
    found = row.standing.comparisons.get(headline)
    if found is None or not found.difference.is_of_enough:
        return Shown(wording.MISSING)
    write = wording.points_interval if is_share else wording.more_epochs_interval
    text = f"{MARKS[found.verdict]} {write(found.difference)}".strip()
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
    text = _marked(metric_text(metric, found), metric.name, row)
    return _shown(text, found)


def metric_text(metric: Metric, found: Estimate | None) -> str:
    """Write a metric's mean with its interval, in its unit."""
    if metric.is_share:
        return wording.percent_interval(found)
    in_epochs = metric.column == "epochs_to_learn"
    return (wording.epochs_interval if in_epochs else wording.nats_interval)(found)


def forgetting_header(task: str) -> str:
    """Return the header of what was forgotten of a task, with its unit."""
    return "drift (nats)" if task == DRIFT else f"forgets {task} (points)"


def _equal_header(task: str, share: float) -> str:
    """Return the header of a cost at equal learning, with its unit."""
    of = "drift" if task == DRIFT else f"forgets {task}"
    return f"{of}, {100 * share:.0f}% learned ({'nats' if task == DRIFT else 'points'})"


def _at_equal_learning(task: str, share: float, row: Row) -> Shown:
    name = equal_learning_metric(task, share)
    found = row.metrics.get(name)
    write = wording.nats_interval if task == DRIFT else wording.points_interval
    return _shown(_marked(write(found), name, row), found)


def _evaluated(task: str, row: Row) -> Shown:
    found = row.evaluated.get(task)
    text = wording.percent_interval(found.tuned if found else None)
    return _shown(_marked(text, evaluation_metric(task), row), found.tuned if found else None)


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


_PARAMETERS = _cost(
    "trainable parameters", lambda row: row.first("parameters"), wording.count, MILLIONS
)
