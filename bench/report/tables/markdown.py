"""`leaderboard.md`, readable on GitHub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tabulate import tabulate

from bench.report.leaderboard.board import Leaderboard, Section
from bench.report.leaderboard.recipe_notes import removals
from bench.report.leaderboard.study_links import Study
from bench.report.tables import remarks
from bench.report.tables.by_relation import by_relation_heading, by_relation_table
from bench.report.tables.columns import Column, cost_columns, quality_columns
from bench.report.tables.format import TextTable, markdown
from bench.report.tables.overall import overall_table
from bench.report.tables.published import published_table
from bench.report.tables.suite_results import HEADING as SUITE
from bench.report.tables.suite_results import suite_table
from bench.report.tables.tuning import tuning_table
from bench.report.tables.why import HEADING as WHY
from bench.report.tables.why import why_table


def leaderboard_markdown(
    board: Leaderboard,
    studies: Sequence[Study] = (),
    ready: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the text of `leaderboard.md`: a section per base and task, then how to read it.

    Args:
        board: What is shown.
        studies: Linked below.
        ready: Sections that `section_markdown` has rendered already, by title.
    """
    blocks = ["# Leaderboard"]
    blocks += [ready.get(section.title) or section_markdown(section) for section in board.sections]
    blocks += _text_table("## Across all tasks and models", overall_table(board))
    blocks += _text_table(f"## {SUITE}", suite_table(board))
    if studies:
        blocks += ["## Studies", *(_study(study) for study in studies)]
    blocks += ["## How to read this", _bullets(remarks.reading(board.sections))]
    if board.problems:
        blocks += ["## Files that could not be read", _bullets(remarks.problems(board))]
    return "\n\n".join(blocks) + "\n"


def section_markdown(section: Section) -> str:
    """Return a section's part of `leaderboard.md`."""
    before = " ".join([remarks.size(section), remarks.base_scores(section)])
    blocks = [
        f"## {markdown(section.title)}",
        markdown(before),
        "### Learned, carried over and forgotten",
        _table(section, quality_columns(section), marks=True),
        remarks.interval_remark(section),
        markdown(remarks.comparison_remark(section)),
        *_text_table(f"### {by_relation_heading(section)}", by_relation_table(section)),
        "### Cost",
        _table(section, cost_columns(section), marks=False),
    ]
    blocks += _text_table("### Published values", published_table(section))
    blocks += _text_table(f"### {WHY}", why_table(section))
    blocks += _text_table("### Tuning", tuning_table(section))
    lists = {
        "### Facts that filters removed": removals(section),
        "### Warnings": remarks.warnings(section),
        "### Cells without a result": remarks.failures(section),
    }
    for heading, lines in lists.items():
        blocks += [heading, _bullets(lines)] if lines else []
    return "\n\n".join(block for block in blocks if block)


def _text_table(heading: str, found: TextTable | None) -> list[str]:
    """Return a table below its heading and remark; nothing where there is none."""
    if found is None:
        return []
    lines = [[markdown(text) for text in line] for line in found.lines]
    left = ("method", "measure", "candidate", "score", "model and data", "lacks", "")
    align = ["left" if header in left else "right" for header in found.headers]
    return [heading, markdown(found.remark), _pipe(found.headers, lines, align)]


def _pipe(headers: Sequence[str], lines: list[list[str]], align: Sequence[str]) -> str:
    escaped = [markdown(header) for header in headers]
    return tabulate(lines, escaped, tablefmt="pipe", colalign=align, disable_numparse=True)


def _study(study: Study) -> str:
    title = markdown(study.title)
    links = ", ".join(f"[{name}]({address})" for name, address in study.files.items())
    return f"### {title}\n\n![{title}]({study.picture})\n\n{links}"


def _table(section: Section, columns: list[Column], *, marks: bool) -> str:
    headers = ["method", "seeds", *(column.title for column in columns)]
    lines = [
        [
            markdown(row.label),
            remarks.seeds(row),
            *(column.show(row).text for column in columns),  # Made of numbers: nothing to escape.
            *([markdown(remarks.marks(row))] if marks else []),
        ]
        for row in section.rows
    ]
    if marks:
        headers.append("remarks")
    align = ["left", "left", *("right" for _ in columns), *(["left"] if marks else [])]
    return _pipe(headers, lines, align)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown(line)}" for line in lines)
