"""Reads a results folder into the cells that the report is made of."""

from __future__ import annotations

from pathlib import Path

from bench.records import CellRecord
from bench.report.board import Cell, Leaderboard
from bench.report.leaderboard import build_leaderboard
from bench.store import ResultsStore
from tasks.errors import UsageError


def load_leaderboard(folder: Path, reference: str | None = None) -> Leaderboard:
    """Aggregate everything in `cells/` and `facts/`; damaged files are listed, not counted.

    Args:
        folder: The results folder.
        reference: The method that others are compared with; without it `lora`, where present.

    Raises:
        UsageError: The folder holds no cells at all, or none of the reference.
    """
    store = ResultsStore(folder)
    found = store.records()
    cells, problems = [], list(found.problems)
    for record in found.records:
        try:
            cells.append(load_cell(store, record))
        except UsageError as error:
            problems.append(f"cells/{record.cell_id}.json: {error}")
    if not cells and not problems:
        raise UsageError(f"no cells in '{folder}': run some first, or give the right folder")
    return build_leaderboard(cells, problems, reference)


def load_cell(store: ResultsStore, record: CellRecord) -> Cell:
    """Read a record's fact rows, in the order of the facts' ids."""
    rows = store.rows(record.cell_id)
    return Cell(record, rows.sort_values("fact_id", ignore_index=True))
