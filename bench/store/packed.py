"""Read a set of cells that is packed into two Parquet files, as finished sets are committed.

cells.parquet   one row per cell: `cell_id`, and `record`, the JSON of `cells/<cell_id>.json`
facts.parquet   the fact rows of all cells, with a further column `cell_id`

A `ResultsStore` reads them like loose files, which take precedence; no run writes them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bench.store.formats import empty_table, read_parquet
from tasks.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

CELLS, FACTS = "cells.parquet", "facts.parquet"


class PackedCells:
    """The packed cells of a results folder; reads whole files, so it suits hundreds of cells."""

    def __init__(self, folder: Path) -> None:
        self.cells = folder / CELLS
        self.facts = folder / FACTS
        self._tables: dict[tuple[str, ...] | None, pa.Table] = {}

    @cached_property
    def records(self) -> dict[str, bytes]:
        """The JSON of each record, by cell id; empty if nothing is packed.

        Raises:
            UsageError: The file is damaged.
        """
        if not os.path.exists(self.cells):
            return {}
        import pyarrow.parquet as pq

        try:
            columns = pq.ParquetFile(self.cells).read(["cell_id", "record"]).to_pydict()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"'{self.cells}' is damaged: {' '.join(str(error).split())}"
            ) from error
        contents = (record.encode() for record in columns["record"])
        return dict(zip(columns["cell_id"], contents, strict=True))

    def has_facts(self, cell_id: str) -> bool:
        """Return whether a cell has fact rows.

        Raises:
            OSError: The file is missing or damaged.
            ValueError: It is not a Parquet file.
        """
        return cell_id in self._places

    def fact_table(self, cell_id: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the fact rows of a cell; `columns` selects columns, None means all.

        Raises:
            OSError: The file is missing or damaged.
            ValueError: It is not a Parquet file, or lacks a column.
        """
        if cell_id not in self._places:
            return empty_table(columns)
        names = None if columns is None else tuple(columns)
        if names not in self._tables:
            table = read_parquet(self.facts, columns)
            named = "cell_id" in table.schema.names
            self._tables[names] = table.drop_columns(["cell_id"]) if named else table
        return self._tables[names].slice(*self._places[cell_id])

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        """The first row and the number of rows of each cell, by its id."""
        import pyarrow.parquet as pq

        places: dict[str, tuple[int, int]] = {}
        for row, cell_id in enumerate(pq.ParquetFile(self.facts).read(["cell_id"])[0].to_pylist()):
            start, count = places.get(cell_id, (row, 0))
            places[cell_id] = (start, count + 1)
        return places
