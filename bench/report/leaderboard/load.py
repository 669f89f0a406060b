"""Reads a results folder into the leaderboard, section by section.

Sections need nothing of each other: each may be read in any order and in any process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.report.leaderboard.board import Leaderboard
from bench.report.leaderboard.build import Untitled, board_of, by_section, section_of
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


def load_leaderboard(folder: Path, reference: str | None = None) -> Leaderboard:
    """Aggregate all cells of a results folder; damaged files are listed, not counted.

    Args:
        folder: The results folder.
        reference: The method that others are compared with; without it `lora`, where present.

    Raises:
        UsageError: The folder holds no cells at all, or none of the reference.
    """
    return load(BoardSource(folder, reference))


def load(source: BoardSource) -> Leaderboard:
    """Do what `load_leaderboard` does, and leave out cells that are known to be damaged."""
    found = stored_records(source.folder)
    sections = [read_section(source, group) for group in grouped(found)]
    return joined(source, found.problems, sections)


def stored_records(folder: Path) -> Records:
    """Return the records of a results folder.

    Raises:
        UsageError: It holds no cells at all.
    """
    found = ResultsStore(folder).records()
    if not found.records and not found.problems:
        raise UsageError(f"no cells in '{folder}': run a grid first, or give another folder")
    return found


def grouped(found: Records) -> list[list[CellRecord]]:
    """Return the records of each section, in the order of the board."""
    return by_section(found.records, lambda record: record.spec)


def read_section(source: BoardSource, records: Sequence[CellRecord]) -> ReadSection:
    """Read the fact rows of a section's cells and compute its rows."""
    cells, problems = readable_cells(ResultsStore(source.folder), records, source.damaged)
    section = section_of(cells, source.reference) if cells else None
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
