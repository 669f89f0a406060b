"""A comparison of two folders within the width of a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.redaction import safe_text
from bench.report.changes import sentences
from bench.report.changes.build import Changes, SectionChange
from bench.report.changes.tables import (
    CHANGE_HEADERS,
    ChangeLine,
    answers_sentence,
    change_lines,
)
from bench.report.statistics.comparison import Verdict
from bench.report.tables.limits import TERMINAL_ROWS, TERMINAL_SECTIONS
from bench.report.tables.terminal import WIDTH, render

LINES = 12
"""Lines of a list that are shown."""

_STYLES = {Verdict.BETTER: "green", Verdict.WORSE: "red"}
_LEFT = ("method", "seeds", "measure")


def terminal_changes(changes: Changes, *, width: int = WIDTH, color: bool = False) -> str:
    """Return a comparison as text of at most `width` columns.

    Args:
        changes: What to show.
        width: Columns of the terminal.
        color: Whether the output is a terminal that understands colour.
    """
    parts: list[RenderableType] = [_line(text) for text in sentences.counts(changes)]
    parts += [_line(sentences.outcome(changes), "bold"), ""]
    for section in changes.sections[:TERMINAL_SECTIONS]:
        parts += _section(section)
    more = len(changes.sections) - TERMINAL_SECTIONS
    if more > 0:
        parts += [_line(f"{more} more tables are in changes.md", "bold"), ""]
    for heading, lines in sentences.listed(changes).items():
        parts += [_line(heading, "bold"), *map(_line, _short(lines)), ""]
    if changes.moved:
        parts += [_line(text, "dim") for text in sentences.READING[:2]]
    return render(parts, width=width, color=color).rstrip() + "\n"


def _section(section: SectionChange) -> list[RenderableType]:
    lines = change_lines(section)
    if not lines:
        return []
    shown = sorted(lines, key=lambda line: not line.is_marked)[:TERMINAL_ROWS]
    shown = [line for line in lines if line in shown]
    said = [sentences.unchanged(section), answers_sentence(section), *sentences.notes(section)]
    if len(lines) > len(shown):
        said.insert(0, f"{len(lines) - len(shown)} more lines are in changes.md.")
    heading = _line(f"{section.title}, {section.asked}", "bold")
    return [heading, _table(shown), "", *(_line(text, "dim") for text in said if text), ""]


def _table(lines: Sequence[ChangeLine]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    for header in CHANGE_HEADERS:
        table.add_column(header, justify="left" if header in _LEFT else "right", overflow="fold")
    for line in lines:
        style = _STYLES.get(line.change.comparison.verdict, "")
        table.add_row(*(Text(safe_text(text)) for text in line.texts), style=style)
    return table


def _short(lines: Sequence[str]) -> list[str]:
    if len(lines) <= LINES:
        return list(lines)
    return [*lines[: LINES - 1], f"... and {len(lines) - LINES + 1} more"]


def _line(text: str, style: str = "") -> Text:
    return Text(safe_text(text), style=style)
