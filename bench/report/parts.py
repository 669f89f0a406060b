"""A part of the report: the cells of one section, from files to its rows.

Sections need nothing of each other, so that parts may be made in any order and in any process.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from bench.report.leaderboard.board import Cell
from bench.report.leaderboard.build import Untitled, section_of
from bench.report.leaderboard.read_cells import readable_cells
from bench.report.tables.section_texts import Place, Texts, texts_of
from bench.store.records import CellRecord
from bench.store.store import ResultsStore


@dataclass(frozen=True, slots=True)
class Wanted:
    """What all parts of a report share.

    Attributes:
        folder: The results folder.
        reference: The method that others are compared with; None for `lora`, where present.
        without: Why a cell is damaged, by its id, where that is known.
    """

    folder: Path
    reference: str | None = None
    without: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """A section of the report.

    Attributes:
        section: None where no cell of it can be read.
        problems: A line for each damaged file.
        texts: What the report says of it, if it stands at the place that was given.
    """

    section: Untitled | None
    problems: tuple[str, ...]
    texts: Texts | None = None


def part_of(wanted: Wanted, records: Sequence[CellRecord], place: Place | None = None) -> Part:
    """Read the fact rows of a section's cells, compute the section, and render it for a place.

    Raises:
        DamagedRowsError: It is to be rendered, and the texts of its facts cannot be read.
    """
    cells, problems = readable_cells(ResultsStore(wanted.folder), records, wanted.without)
    if not cells:
        return Part(None, tuple(problems))
    found = section_of(cells, wanted.reference)
    texts = texts_of(replace(found.section, title=place.title), place) if place else None
    return Part(found, tuple(problems), texts)


def send_part(part: Part, pipe: IO[bytes]) -> None:
    """Write a part for `receive_part`: a hundredth of its cells' size, which go by their ids."""
    _Sender(pipe, protocol=pickle.HIGHEST_PROTOCOL).dump(part)


def receive_part(pipe: IO[bytes], cells: Mapping[str, Cell]) -> Part:
    """Read what `send_part` wrote, with the cells that this process has of it.

    Raises:
        Exception: Of any kind, where the other end has died or sent something else.
    """
    part = _Receiver(pipe, cells).load()
    if not isinstance(part, Part):
        raise TypeError(f"expected a part, got {type(part).__name__}")
    return part


class _Sender(pickle.Pickler):
    def persistent_id(self, obj: Any) -> str | None:
        return obj.record.cell_id if isinstance(obj, Cell) else None


class _Receiver(pickle.Unpickler):
    def __init__(self, pipe: IO[bytes], cells: Mapping[str, Cell]) -> None:
        super().__init__(pipe)
        self._cells = cells

    def persistent_load(self, pid: Any) -> Cell:
        return self._cells[pid]
