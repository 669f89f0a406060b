"""Reads a results folder into the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report.helper_processes import HelperProcess
from bench.report.helpers import Helpers
from bench.report.leaderboard.board import Leaderboard
from bench.report.leaderboard.build import board_of, by_section, section_titles
from bench.report.leaderboard.tuned_grids import reporting_spec
from bench.report.parts import Wanted
from bench.report.tables.section_texts import Texts, places
from bench.store.store import ResultsStore
from tasks.errors import UsageError


@dataclass(frozen=True, slots=True)
class Loaded:
    """A leaderboard, and by title what the report says of sections that are rendered already."""

    board: Leaderboard
    texts: Mapping[str, Texts]


def load_leaderboard(folder: Path, reference: str | None = None) -> Leaderboard:
    """Aggregate everything in `cells/` and `facts/`; damaged files are listed, not counted.

    Args:
        folder: The results folder.
        reference: The method that others are compared with; without it `lora`, where present.

    Raises:
        UsageError: The folder holds no cells at all, or none of the reference.
    """
    return load(Wanted(folder, reference)).board


def load(wanted: Wanted, processes: Sequence[HelperProcess] = ()) -> Loaded:
    """Load a folder as `load_leaderboard` does, with other processes' help.

    Raises:
        DamagedRowsError: A helper's section is rendered, and the texts of its facts are damaged.
        UsageError: As there.
    """
    found = ResultsStore(wanted.folder).records()
    if not found.records and not found.problems:
        raise UsageError(f"no cells in '{wanted.folder}': run some first, or give the right folder")
    groups = by_section(found.records, lambda record: record.spec)
    expected = places(section_titles([reporting_spec(group[0].spec) for group in groups]))
    parts = Helpers(wanted, processes).parts(groups, expected)
    damaged = sorted(line for part in parts for line in part.problems)
    sections = [part.section for part in parts if part.section is not None]
    board = board_of(sections, [*found.problems, *damaged], wanted.reference)
    rendered = dict(zip(expected, (part.texts for part in parts), strict=True))
    there = [(place, rendered.get(place)) for place in places([s.title for s in board.sections])]
    return Loaded(board, {place.title: texts for place, texts in there if texts})
