"""`leaderboard.html`: one file that needs nothing else, for any screen."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.redaction import safe_text
from bench.report.html.answer_changes import EXAMPLE_COLUMNS, AnswerChange, fates
from bench.report.html.explorer import explorer_of
from bench.report.leaderboard.board import Leaderboard, Row, Section
from bench.report.leaderboard.recipe_notes import removals
from bench.report.leaderboard.study_links import Study
from bench.report.tables import remarks
from bench.report.tables.columns import Column, Shown, cost_columns, quality_columns
from bench.report.tables.limits import (
    PAGE_ROWS,
    drawn_remark,
    example_rows,
    hidden_remark,
    shown_rows,
)
from bench.report.tables.overall import overall_headers, overall_lines, overall_remark
from bench.report.tables.tuning import tuned_rows, tuning_headers, tuning_lines, tuning_remark

if TYPE_CHECKING:
    from bench.report.plots import Plot


@dataclass(frozen=True)
class Bar:
    """An interval on a scale, in percent of the scale's length."""

    left: float
    width: float
    at: float


@dataclass(frozen=True)
class PageTable:
    """A sortable table: its columns, and per row the label, the cells and the remarks."""

    caption: str
    columns: list[Column]
    rows: Sequence[Row]
    with_remarks: bool


@dataclass(frozen=True)
class PagePlot:
    """A plot as the address of an embedded image; `title` says of what."""

    title: str
    caption: str
    source: str


@dataclass(frozen=True)
class PageStudy:
    """A study with its picture embedded."""

    study: Study
    source: str


@dataclass(frozen=True)
class RowExamples:
    """Example answers of a row's first cell."""

    label: str
    cell_id: str
    seed: int
    fates: list[AnswerChange]


@dataclass(frozen=True)
class PageLines:
    """A table as text, with what is said about it."""

    headers: list[str]
    lines: list[list[str]]
    remark: str


@dataclass(frozen=True)
class PageSection:
    """What the template shows of a section."""

    section: Section
    before: str
    intervals: str
    compared: str
    tables: list[PageTable]
    hidden: str
    plots: list[PagePlot]
    drawn: str
    tuning: PageLines | None
    removals: list[str]
    warnings: list[str]
    failures: list[str]
    examples: list[RowExamples]
    without_examples: int


def leaderboard_html(
    board: Leaderboard,
    plots: Sequence[Plot],
    studies: Sequence[Study] = (),
    lacking: str = "",
    ready: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the page; every text that a model, a file or a person gave is escaped.

    Args:
        board: What is shown.
        plots: Those of its sections and across them.
        studies: Shown below.
        lacking: A line on plots that were left out.
        ready: By title what `section_html` says of some sections, which have no plots.
    """
    examples = example_rows(len(board.sections))
    sections = [
        ready.get(section.title)
        or section_html(section, number, examples, [p for p in plots if p.section is section])
        for number, section in enumerate(board.sections, 1)
    ]
    return (
        _environment()
        .get_template("leaderboard.html")
        .render(
            titles=[section.title for section in board.sections],
            sections=map(Markup, sections),
            lacking=lacking,
            overall=_overall(board),
            explorer=explorer_of(board),
            across=[_embedded(plot) for plot in plots if plot.section is None],
            studies=[PageStudy(study, _address(study.svg)) for study in studies],
            problems=remarks.problems(board),
            reading=remarks.reading(),
        )
    )


def section_html(section: Section, number: int, examples: int, plots: Sequence[Plot] = ()) -> str:
    """Return a section's part of the page.

    Args:
        section: What is shown.
        number: Its place on the page, from 1.
        examples: Of how many rows example answers are shown.
        plots: Its own.

    Raises:
        DamagedRowsError: The texts of its facts cannot be read.
    """
    return (
        _environment()
        .get_template("page_section.html")
        .render(
            page=_page_section(section, plots, examples),
            number=number,
            bar=interval_bar,
            remarks=remarks,
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bench.report", "html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = safe_text
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    return environment


def interval_bar(column: Column, shown: Shown) -> Bar | None:
    """Return where a cell's interval lies on its column's scale; None where it has neither."""
    if column.scale is None or shown.estimate is None or shown.estimate.interval is None:
        return None
    low, high = column.scale
    share = 100 / (high - low)
    interval = shown.estimate.interval
    return Bar(
        left=share * (interval.low - low),
        width=share * (interval.high - interval.low),
        at=share * (shown.estimate.value - low),
    )


def _page_section(section: Section, plots: Sequence[Plot], examples: int) -> PageSection:
    rows = shown_rows(section, PAGE_ROWS)
    learned = PageTable("Learned and forgotten", quality_columns(section), rows, True)
    cost = PageTable("Cost", cost_columns(section), rows, False)
    return PageSection(
        section=section,
        before=remarks.base_scores(section),
        intervals=remarks.interval_remark(section),
        compared=remarks.comparison_remark(section),
        tables=[learned, cost],
        hidden=hidden_remark(section, PAGE_ROWS),
        plots=[_embedded(plot) for plot in plots],
        drawn=drawn_remark(section) if plots else "",
        tuning=_tuning(section),
        removals=removals(section),
        warnings=remarks.warnings(section),
        failures=remarks.failures(section),
        examples=[_examples(row) for row in section.done[:examples]],
        without_examples=max(0, len(section.done) - examples),
    )


def _tuning(section: Section) -> PageLines | None:
    if not tuned_rows(section.rows):
        return None
    return PageLines(tuning_headers(section), tuning_lines(section), tuning_remark(section))


def _overall(board: Leaderboard) -> PageLines | None:
    found = board.overall
    if found is None:
        return None
    return PageLines(overall_headers(found), overall_lines(found), overall_remark(found))


def _embedded(plot: Plot) -> PagePlot:
    return PagePlot(plot.title, plot.kind.caption, _address(plot.svg))


def _address(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


def _examples(row: Row) -> RowExamples:
    cell = row.cells[0]
    record = cell.record
    return RowExamples(
        row.label, record.cell_id, record.spec.seed, fates(cell.facts.some(EXAMPLE_COLUMNS))
    )
