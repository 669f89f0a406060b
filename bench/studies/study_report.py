"""The report of a study and its files: a table for programs, one for people, and a picture.

The files are `<out>/studies/<name>.csv`, `.md`, `.png` and `.svg`; a further table of the `.md` is
`<name>_<table>.csv`. The same study always gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from tabulate import tabulate

from bench.redaction import safe_text
from bench.report.statistics.intervals import FEWEST_ITEMS, Estimate, Interval, IntervalKind
from bench.report.tables import format as wording
from bench.store import atomic
from bench.store.store import STUDIES_FOLDER
from tasks.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Form(StrEnum):
    """How the values of a column are written."""

    TEXT = "text"
    PERCENT = "percent"
    POINTS = "points"
    NATS = "nats"
    MEAN = "mean"
    NUMBER = "number"
    COUNT = "count"
    OPERATIONS = "operations"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class StudyColumn:
    """A column of the table that people read.

    Attributes:
        name: The column of the report's table. If the table has `<name>_low` and `<name>_high`,
            they are shown as its interval.
        header: The header, with its unit.
        form: How values are written; `percent` and `points` expect shares.
        key: Whether the column identifies a line, as text columns do. If the terminal is too
            narrow for all columns, the table is split and these columns are repeated.
        items: The column of the report's table that says how many facts, answers or items a value
            is the mean of; fewer than `FEWEST_ITEMS` are shown as missing.
    """

    name: str
    header: str
    form: Form = Form.TEXT
    key: bool = False
    items: str = ""


@dataclass(frozen=True)
class StudyTable:
    """A further table of a study.

    Attributes:
        name: What its file is called after the study's name.
        title: What it shows.
        table, columns: As in `StudyReport`.
    """

    name: str
    title: str
    table: pd.DataFrame
    columns: tuple[StudyColumn, ...]


@dataclass(frozen=True)
class StudyReport:
    """The outcome of a study.

    Attributes:
        name: The name of its files.
        title: The question, in one line.
        about: Lines that say how to read it: model, seeds, number of facts, kind of intervals.
        table: Plain numbers, every column of the `.csv`; missing values are NA.
        columns: The columns that the `.md` and the terminal show.
        figure: The picture; it must be readable by itself.
        command: The command that repeats the study; empty shows none.
        failures: One line for each part of the study without a result.
        further: Tables that stand below the first.
    """

    name: str
    title: str
    about: tuple[str, ...]
    table: pd.DataFrame
    columns: tuple[StudyColumn, ...]
    figure: Figure
    command: str = ""
    failures: tuple[str, ...] = ()
    further: tuple[StudyTable, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """The files that a study was written to."""

    csv: Path
    markdown: Path
    png: Path
    svg: Path


def write_study(out: Path, report: StudyReport) -> StudyFiles:
    """Write a study below the results folder `out`; each file appears complete or not at all.

    Raises:
        UsageError: The folder cannot be written.
        ValueError: A shown column is not in the table.
    """
    from bench.report.plots._style import image, settings

    csv = _csv(report)
    markdown = study_markdown(report)
    with settings():
        png, svg = image(report.figure, "png"), image(report.figure, "svg")
    folder = out / STUDIES_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for more in report.further:
            atomic.write(folder / f"{report.name}_{more.name}.csv", _csv(more))
        return StudyFiles(
            csv=atomic.write(folder / f"{report.name}.csv", csv),
            markdown=atomic.write(folder / f"{report.name}.md", markdown),
            png=atomic.write(folder / f"{report.name}.png", png),
            svg=atomic.write(folder / f"{report.name}.svg", svg),
        )
    except OSError as error:
        raise UsageError(
            f"cannot write the study to '{folder}': {error.strerror}; "
            "give a writable folder with --out"
        ) from error


def study_markdown(report: StudyReport) -> str:
    """Return the text of the `.md`: title, picture, table, how to read it, how to repeat it.

    Raises:
        ValueError: A shown column is not in the table.
    """
    blocks = [
        f"# {wording.markdown(report.title)}",
        f"![{wording.markdown(report.title)}]({report.name}.png)",
        _table(report),
        *(f"{wording.markdown(more.title)}:\n\n{_table(more)}" for more in report.further),
        _bullets(report.about),
    ]
    if report.failures:
        blocks += ["## Parts without a result", _bullets(report.failures)]
    if report.command:
        blocks += ["## How to repeat it", f"```sh\n{safe_text(report.command)}\n```"]
    return "\n\n".join(block for block in blocks if block) + "\n"


def shown_lines(report: StudyReport | StudyTable) -> list[list[str]]:
    """Return the texts of the shown columns, line by line, not yet escaped.

    Raises:
        ValueError: A shown column is not in the table.
    """
    for column in report.columns:
        if column.name not in report.table:
            raise ValueError(f"column '{column.name}' is shown but is not in the table")
    lines = report.table.to_dict("records")
    return [[_text(line, column) for column in report.columns] for line in lines]


def _csv(report: StudyReport | StudyTable) -> str:
    return report.table.to_csv(index=False, na_rep="", lineterminator="\n")


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {wording.markdown(line)}" for line in lines)


def _table(report: StudyReport | StudyTable) -> str:
    # Numbers are written by this program: only texts need escaping.
    lines = [
        [
            wording.markdown(text) if column.form is Form.TEXT else text
            for text, column in zip(line, report.columns, strict=True)
        ]
        for line in shown_lines(report)
    ]
    return tabulate(
        lines,
        [wording.markdown(column.header) for column in report.columns],
        tablefmt="pipe",
        colalign=["left" if c.form is Form.TEXT else "right" for c in report.columns],
        disable_numparse=True,
    )


def _text(line: dict[Any, Any], column: StudyColumn) -> str:
    value = line[column.name]
    if pd.isna(value) or (column.items and not line[column.items] >= FEWEST_ITEMS):
        return wording.MISSING
    if column.form is Form.TEXT:
        return str(value)
    return _FORMS[column.form](Estimate(float(value), _interval(line, column.name)))


def _interval(line: dict[Any, Any], name: str) -> Interval | None:
    low, high = line.get(f"{name}_low"), line.get(f"{name}_high")
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return None
    return Interval(float(low), float(high), IntervalKind.NONE)


def _mean(estimate: Estimate) -> str:
    if estimate.interval is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} [{estimate.interval.low:.1f}, {estimate.interval.high:.1f}]"


def _number(estimate: Estimate) -> str:
    if estimate.interval is None:
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} [{estimate.interval.low:.3g}, {estimate.interval.high:.3g}]"


_FORMS: dict[Form, Callable[[Estimate], str]] = {
    Form.PERCENT: wording.percent_interval,
    Form.POINTS: wording.points_interval,
    Form.NATS: wording.nats_interval,
    Form.MEAN: _mean,
    Form.NUMBER: _number,
    Form.COUNT: lambda estimate: wording.count(estimate.value),
    Form.OPERATIONS: lambda estimate: wording.operations(estimate.value),
    Form.SECONDS: lambda estimate: wording.duration(estimate.value),
}
