"""Reads a results folder into the leaderboard, section by section.

Sections need nothing of each other: each may be read in any order and in any process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.report.leaderboard.board import Leaderboard
from bench.report.leaderboard.build import Untitled, board_of, by_section, section_of
from bench.report.leaderboard.published import with_published
from bench.report.leaderboard.read_cells import readable_cells
from bench.store.records import CellRecord
from bench.store.store import Records, ResultsStore
from tasks.errors import UsageError


@dataclass(frozen=True, slots=True)
class BoardSource:
    """What a leaderboard is read from.

    Attributes:
        folder: The results folder.
        reference: The method that others are compared with; None for `lora`, where present.
        damaged: Why a cell is left out, by its id, where that is known before its file is read.
    """

    folder: Path
    reference: str | None = None
    damaged: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadSection:
    """A section with a line for each of its damaged files.

    Attributes:
        section: None where no cell of it can be read.
        problems: What is damaged, and how.
    """

    section: Untitled | None
    problems: tuple[str, ...]


def load_leaderboard(
    folder: Path, reference: str | None = None, damaged: dict[str, str] | None = None
) -> Leaderboard:
    """Aggregate all cells of a results folder; damaged files are listed, not counted.

    Args:
        folder: The results folder.
        reference: The method that others are compared with; without it `lora`, where present.
        damaged: Why a cell is left out, by its id, where that is known before its file is read.

    Raises:
        UsageError: The folder holds no cells at all, or none of the reference.
    """
    source = BoardSource(folder, reference, damaged or {})
    found = stored_records(folder)
    groups = by_section(found.records, lambda record: record.spec)
    return joined(source, found.problems, [read_section(source, group) for group in groups])


def refuse_unreadable(board: Leaderboard, folder: Path) -> None:
    """Refuse a board without a single readable cell, which would replace a good report.

    Raises:
        UsageError: It is one; the error gives the first reason.
    """
    if not board.sections:
        more = f" (and {len(board.problems) - 1} more)" if board.problems[1:] else ""
        raise UsageError(f"no cell in '{folder}' can be read: {board.problems[0]}{more}")


def stored_records(folder: Path) -> Records:
    """Return the records of a results folder.

    Raises:
        UsageError: It holds no cells at all.
    """
    found = ResultsStore(folder).records()
    if not found.records and not found.problems:
        raise UsageError(f"no cells in '{folder}': run a grid first, or give another folder")
    return found


def read_section(source: BoardSource, records: Sequence[CellRecord]) -> ReadSection:
    """Read the fact rows of a section's cells and compute its rows."""
    cells, problems = readable_cells(ResultsStore(source.folder), records, source.damaged)
    section = section_of(cells, source.reference) if cells else None
    if section is not None:
        section = replace(section, section=with_published(section.section, source.folder))
    return ReadSection(section, tuple(problems))


def joined(
    source: BoardSource, problems: Sequence[str], sections: Sequence[ReadSection]
) -> Leaderboard:
    """Put sections together to a leaderboard.

    Args:
        source: What they were read from.
        problems: A line for each record that could not be read.
        sections: All of them, in their order.

    Raises:
        UsageError: No row is the reference that was asked for.
    """
    damaged = sorted(line for read in sections for line in read.problems)
    whole = [read.section for read in sections if read.section is not None]
    return board_of(whole, [*problems, *damaged], source.reference)
