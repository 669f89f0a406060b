"""Reads a results folder into the cells that the report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.records import CellRecord
from bench.report.board import Cell, Leaderboard
from bench.report.fact_rows import COLUMNS, fact_rows
from bench.report.leaderboard import build_leaderboard
from bench.store import DamagedRowsError, ResultsStore
from tasks.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_READERS = 4
"""Threads that read fact rows; most of it is done outside of Python."""


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
    found = store.records()
    cells, damaged = readable_cells(store, found.records, without)
    problems = [*found.problems, *damaged]
    if not cells and not problems:
        raise UsageError(f"no cells in '{folder}': run some first, or give the right folder")
    return build_leaderboard(cells, problems, reference)


def readable_cells(
    store: ResultsStore,
    records: Sequence[CellRecord],
    without: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Cell], list[str]]:
    """Read fact rows as `load_cells` does; a damaged file becomes a line, and its cell is absent.

    Args:
        store: The results folder.
        records: Of the cells.
        without: Why a cell is damaged, by its id, where that is known.
    """
    tables = _tables(store, [record.cell_id for record in records], without)
    problems = [f"cells/{i}.json: {why}" for i, why in tables.items() if isinstance(why, str)]
    whole = {i: table for i, table in tables.items() if not isinstance(table, str)}
    return _cells(store, [r for r in records if r.cell_id in whole], whole), problems


def load_cells(store: ResultsStore, records: Sequence[CellRecord]) -> list[Cell]:
    """Read the records' fact rows, in the order of the facts' ids.

    Raises:
        UsageError: A file is damaged.
    """
    tables = {record.cell_id: store.fact_table(record.cell_id, COLUMNS) for record in records}
    return _cells(store, records, tables)


def _cells(
    store: ResultsStore, records: Sequence[CellRecord], tables: Mapping[str, pa.Table]
) -> list[Cell]:
    """Put records together with their fact rows; texts are read when they are asked for."""
    ids = [record.cell_id for record in records]
    rows = fact_rows([tables[i] for i in ids], [partial(store.fact_table, i) for i in ids])
    return [Cell(*pair) for pair in zip(records, rows, strict=True)]


def _tables(
    store: ResultsStore, ids: Sequence[str], without: Mapping[str, str]
) -> dict[str, pa.Table | str]:
    """Return each cell's numbers, or one line on why it does not count."""

    def table(cell_id: str) -> pa.Table | str:
        try:
            return without.get(cell_id) or store.fact_table(cell_id, COLUMNS)
        except DamagedRowsError as error:
            return str(error)

    with ThreadPoolExecutor(_READERS) as readers:
        return dict(zip(ids, readers.map(table, ids), strict=True))
