"""Reads a results folder into the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bench.report.board import Leaderboard
from bench.report.helpers import Helpers
from bench.report.leaderboard import board_of, by_section
from bench.report.parts import Wanted
from bench.store import ResultsStore
from tasks.errors import UsageError


def load_leaderboard(
    folder: Path, reference: str | None = None, without: Mapping[str, str] = MappingProxyType({})
) -> Leaderboard:
    """Aggregate everything in `cells/` and `facts/`; damaged files are listed, not counted.

    Args:
        folder: The results folder.
        reference: The method that others are compared with; without it `lora`, where present.
        without: Why a cell is damaged, by its id, where that is known.

    Raises:
        UsageError: The folder holds no cells at all, or none of the reference.
    """
    store = ResultsStore(folder)
    with Helpers(Wanted(folder, reference, dict(without))) as helpers:
        found = store.records()
        if not found.records and not found.problems:
            raise UsageError(f"no cells in '{folder}': run some first, or give the right folder")
        parts = helpers.parts(by_section(found.records, lambda record: record.spec))
    damaged = sorted(line for part in parts for line in part.problems)
    sections = [part.section for part in parts if part.section is not None]
    return board_of(sections, [*found.problems, *damaged], reference)
