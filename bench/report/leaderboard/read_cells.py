"""Reads fact rows into the cells that the report is made of."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bench.report.leaderboard.board import Cell
from bench.report.leaderboard.fact_table import FactTable, fact_tables, read_columns
from bench.store.records import CellRecord, Status
from bench.store.store import DamagedRowsError, ResultsStore

if TYPE_CHECKING:
    import pyarrow as pa


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
    tables = {r.cell_id: _table(store, r, without) for r in records}
    problems = [f"cells/{i}.json: {why}" for i, why in tables.items() if isinstance(why, str)]
    whole = {i: table for i, table in tables.items() if not isinstance(table, str)}
    return _cells(store, [r for r in records if r.cell_id in whole], whole), problems


def load_cells(store: ResultsStore, records: Sequence[CellRecord]) -> list[Cell]:
    """Read the records' fact rows, in the order of the facts' ids.

    Raises:
        UsageError: A file is damaged.
    """
    tables = {
        record.cell_id: _whole(record, store.fact_table(record.cell_id, read_columns()))
        for record in records
    }
    return _cells(store, records, tables)


def without_cells(value: object) -> bytes:
    """Pickle what is made of cells, and of these the ids alone: a hundredth of the size."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def with_cells(content: bytes, store: ResultsStore, records: Sequence[CellRecord]) -> Any:
    """Return what `without_cells` pickled; fact rows of its cells are read when asked for.

    Args:
        content: The pickle.
        store: The results folder.
        records: Of the cells.
    """
    unpickler = _Unpickler(io.BytesIO(content))
    unpickler.cells = {
        record.cell_id: Cell(record, FactTable(partial(store.fact_table, record.cell_id)))
        for record in records
    }
    return unpickler.load()


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> str | None:
        return obj.record.cell_id if isinstance(obj, Cell) else None


class _Unpickler(pickle.Unpickler):
    cells: Mapping[str, Cell]

    def persistent_load(self, pid: Any) -> Cell:
        return self.cells[pid]


def _cells(
    store: ResultsStore, records: Sequence[CellRecord], tables: Mapping[str, pa.Table]
) -> list[Cell]:
    """Put records together with their fact rows; texts are read when they are asked for."""
    ids = [record.cell_id for record in records]
    rows = fact_tables([tables[i] for i in ids], [partial(store.fact_table, i) for i in ids])
    return [Cell(*pair) for pair in zip(records, rows, strict=True)]


def _table(store: ResultsStore, record: CellRecord, without: Mapping[str, str]) -> pa.Table | str:
    """Return a cell's numbers, or one line on why it does not count."""
    cell_id = record.cell_id
    try:
        return without.get(cell_id) or _whole(record, store.fact_table(cell_id, read_columns()))
    except DamagedRowsError as error:
        return str(error)


def _whole(record: CellRecord, table: pa.Table) -> pa.Table:
    """Return a cell's rows: one of each of its facts, else it cannot be put beside others.

    Raises:
        DamagedRowsError: Rows are missing, or a fact has several.
    """
    facts = len(table["fact_id"].unique())
    if record.status is Status.DONE and not len(table) == facts == record.spec.facts:
        rows = f"its fact file has {len(table)} rows of {facts} facts"
        raise DamagedRowsError(record.cell_id, f"{rows}, not one of each of {record.spec.facts}")
    return table
