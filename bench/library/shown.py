"""What a notebook shows of results: the leaderboard's tables."""

from __future__ import annotations

from html import escape

from tabulate import tabulate

from bench.redaction import safe_text
from bench.report.leaderboard.board import Leaderboard, Section
from bench.report.tables import remarks
from bench.report.tables.columns import quality_columns


def tables_html(board: Leaderboard) -> str:
    """Return a table for each section, with how to read its intervals below."""
    return "\n".join(map(_section, board.sections))


def _section(section: Section) -> str:
    columns = quality_columns(section)
    headers = ["method", "seeds", *(column.title for column in columns)]
    lines = [
        [safe_text(row.label), remarks.seeds(row), *(column.show(row).text for column in columns)]
        for row in section.rows
    ]
    table = tabulate(lines, headers, tablefmt="html", disable_numparse=True)  # escapes its texts
    below = f"{remarks.interval_remark(section)} {remarks.comparison_remark(section)}"
    title, size = safe_text(section.title), safe_text(remarks.size(section))
    return (
        f"<p><b>{escape(title)}</b>: {escape(size)}</p>\n"
        f'<div style="overflow-x: auto">{table}</div>\n<p>{escape(safe_text(below))}</p>'
    )
