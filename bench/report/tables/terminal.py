"""The table at the end of a run, within the width of a terminal; plain text elsewhere."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bench.redaction import safe_text
from bench.report.leaderboard.board import Leaderboard, Row, Section
from bench.report.leaderboard.recipe_notes import removals
from bench.report.tables import remarks
from bench.report.tables.columns import Column, brief_columns
from bench.report.tables.limits import TERMINAL_ROWS, TERMINAL_SECTIONS, hidden_remark
from bench.report.tables.overall import overall_table

WIDTH = 100
_GAP = 2
_METHOD_WIDTH = 26
_HEADER_WIDTH = 12


def terminal_table(board: Leaderboard, *, width: int = WIDTH, color: bool = False) -> str:
    """Return all sections as text of at most `width` columns.

    Args:
        board: What to show.
        width: Columns of the terminal; tables that need more are stacked.
        color: Whether the output is a terminal that understands colour.
    """
    parts: list[RenderableType] = []
    for section in board.sections[:TERMINAL_SECTIONS]:
        parts += _section(section, width)
    more = len(board.sections) - TERMINAL_SECTIONS
    if more > 0:
        text = f"{more} more model-task pairs are in leaderboard.md and leaderboard.html"
        parts += [_line(text, "bold"), ""]
    parts += _overall(board)
    parts += [_line(text, "yellow") for text in remarks.problems(board)]
    return render(parts, width=width, color=color)


def render(parts: Sequence[RenderableType], *, width: int, color: bool) -> str:
    """Return renderables as text; without `color` no escape sequence is in it."""
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        legacy_windows=False,
    )
    for part in parts:
        console.print(part)
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _section(section: Section, width: int) -> list[RenderableType]:
    heading = f"{section.title}, {remarks.counted(section)}"
    parts: list[RenderableType] = [Text(safe_text(heading), style="bold")]
    shown = replace(section, rows=section.rows[:TERMINAL_ROWS])
    for columns in _stacked(shown, brief_columns(shown), width):
        parts += [_table(shown.rows, columns), ""]
    marked = {row.label: remarks.marks(row) for row in shown.done}
    said = [
        hidden_remark(section, TERMINAL_ROWS),
        remarks.interval_remark(section),
        remarks.comparison_remark(section),
        *(f"{label}: {text}" for label, text in marked.items() if text),
        *removals(section),
    ]
    parts += [_line(text, "dim") for text in said if text]
    parts += [_line(f"warning: {text}", "yellow") for text in remarks.warnings(section)]
    parts += [_line(text, "red") for text in remarks.failures(section)]
    return [*parts, ""]


def _overall(board: Leaderboard) -> list[RenderableType]:
    found = overall_table(board)
    if found is None:
        return []
    table = _empty_table(map(safe_text, found.headers[1:]))
    for line in found.lines:
        table.add_row(*(Text(safe_text(text)) for text in line))
    heading = Text("across all tasks and models", style="bold")
    return [heading, table, "", _line(found.remark, "dim"), ""]


def _empty_table(headers: Iterable[str], *, no_wrap: bool = False) -> Table:
    """Return a table without rows: a column for names, and columns for numbers."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    table.add_column("method", overflow="fold", max_width=_METHOD_WIDTH)
    for header in headers:
        table.add_column(Text(header), justify="right", no_wrap=no_wrap)
    return table


def _line(text: str, style: str) -> Text:
    return Text(safe_text(text), style=style)


def _stacked(section: Section, columns: list[Column], width: int) -> list[list[Column]]:
    """Split columns into tables that fit beside the methods' names."""
    labels = (line for row in section.rows for line in _label(row).split("\n"))
    room = width - min(_METHOD_WIDTH, max(map(cell_len, labels)))
    tables: list[list[Column]] = [[]]
    used = 0
    for column in columns:
        words = _header(column).split("\n")
        cells = [column.show(row).text for row in section.rows]
        needed = _GAP + max(map(cell_len, [*words, *cells]))
        if tables[-1] and used + needed > room:
            tables.append([])
            used = 0
        tables[-1].append(column)
        used += needed
    return tables


def _header(column: Column) -> str:
    """Break a header between its words, so that columns are as narrow as their numbers."""
    words = safe_text(column.header)
    arrow = f"\N{NO-BREAK SPACE}{column.better}" if column.better else ""
    return textwrap.fill(f"{words}{arrow}", _HEADER_WIDTH, break_long_words=False).replace(
        "\N{NO-BREAK SPACE}", " "
    )


def _label(row: Row) -> str:
    """Return the row's name, a long recipe broken before each part."""
    label = safe_text(row.label)
    return label.replace("+", "\n+") if cell_len(label) > _METHOD_WIDTH else label


def _table(rows: Sequence[Row], columns: list[Column]) -> Table:
    table = _empty_table(map(_header, columns), no_wrap=True)
    for row in rows:
        cells = (Text(column.show(row).text) for column in columns)
        table.add_row(Text(_label(row)), *cells)
    return table
