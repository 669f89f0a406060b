"""The table that a study's command prints, fitted to the width of the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.redaction import safe_text
from bench.report.tables.terminal import WIDTH, render
from bench.studies.study_report import Form, StudyReport, StudyTable, shown_lines

_GAP = 2


def study_text(report: StudyReport, *, width: int = WIDTH, color: bool = False) -> str:
    """Return a study's title, table, reading notes and failures as text.

    Args:
        report: The study's report.
        width: Columns of the terminal; a wider table is split into several.
        color: Whether the terminal shows colours.
    """
    parts: list[RenderableType] = [Text(safe_text(report.title), style="bold")]
    for table in _tables(report, width):
        parts += [table, ""]
    for more in report.further:
        parts.append(Text(safe_text(f"{more.title}:")))
        for table in _tables(more, width):
            parts += [table, ""]
    parts += [Text(safe_text(line), style="dim") for line in report.about]
    parts += [Text(safe_text(line), style="red") for line in report.failures]
    return render(parts, width=width, color=color)


def _tables(report: StudyReport | StudyTable, width: int) -> list[Table]:
    """Return the table, or several that fit, each with the columns that identify a line."""
    places = range(len(report.columns))
    keys = [p for p in places if report.columns[p].key or report.columns[p].form is Form.TEXT]
    lines = [[safe_text(text) for text in line] for line in shown_lines(report)]
    needed = [_needed(report.columns[p].header, [line[p] for line in lines]) for p in places]
    room = width - sum(needed[p] + _GAP for p in keys)
    groups: list[list[int]] = [[]]
    for place in (place for place in places if place not in keys):
        taken = sum(needed[p] + _GAP for p in groups[-1])
        if groups[-1] and taken + needed[place] > room:
            groups.append([])
        groups[-1].append(place)
    return [_table(report, lines, sorted([*keys, *group])) for group in groups]


def _needed(header: str, texts: Sequence[str]) -> int:
    """Return the width at which no value and no word of the header is broken."""
    return max(map(cell_len, [*header.split(), *texts]))


def _table(
    report: StudyReport | StudyTable, lines: Sequence[Sequence[str]], places: Sequence[int]
) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    for place in places:
        column = report.columns[place]
        text = column.form is Form.TEXT
        wide = _needed(column.header, [line[place] for line in lines])
        table.add_column(
            Text(fill(column.header, wide, break_long_words=False, break_on_hyphens=False)),
            justify="left" if text else "right",
            no_wrap=not text,
            overflow="fold",
        )
    for line in lines:
        table.add_row(*(Text(line[place]) for place in places))
    return table
