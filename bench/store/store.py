"""The results store: one record and one table of fact rows per cell, each absent or whole.

cells/<cell_id>.json       a `CellRecord`; its presence is what makes a cell exist
facts/<cell_id>.parquet    its `FactRow`s, in place before the record appears

Committed sets are packed, see `bench.store.packed`: that is read too, and never written here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar

from pydantic import ValidationError

from bench.store import atomic
from bench.store.formats import (
    VERSION_WITHIN,
    CellSummary,
    empty_table,
    is_whole_parquet,
    other_schema,
    read_parquet,
    schema_version,
    strict_json,
    write_parquet,
)
from bench.store.packed import PackedCells
from bench.store.records import SCHEMA_VERSION, CellRecord, FactRow, Status
from tasks.errors import UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_Stored = TypeVar("_Stored", CellRecord, CellSummary)

STUDIES_FOLDER = "studies"
"""Inside a results folder; holds the tables and pictures of studies."""

ID_SHOWN = 12
"""Characters of a cell id that messages and tables show; any unique prefix names a cell."""


@dataclass(frozen=True)
class Records:
    """What a folder holds: whole records in the order of their ids, and what was unreadable."""

    records: tuple[CellRecord, ...]
    problems: tuple[str, ...]


class Stamp(NamedTuple):
    """Tells one writing of a record from the next: `st_mtime_ns`, `st_ino` and `st_size`."""

    written: int
    file: int
    size: int


class DamagedRowsError(UsageError):
    """Fact rows that cannot be read, and the cell that they are of."""

    def __init__(self, cell_id: str, line: str) -> None:
        super().__init__(line)
        self.cell_id = cell_id


class ResultsStore:
    """Reads and writes the cells of one results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        self.facts = folder / "facts"
        self._summaries: dict[str, tuple[Stamp, CellSummary | str]] = {}

    def ensure_writable(self) -> None:
        """Create the folders, and prove at start-up that a cell's result can be written.

        Raises:
            UsageError: It cannot; one line says why.
        """
        atomic.ensure_writable(self.folder, self.cells, self.facts)

    def refuse_newer(self) -> None:
        """Leave a folder alone that a newer program wrote to.

        Raises:
            UsageError: It did; one line names a record.
        """
        for cell_id in self._ids():
            version = schema_version(self.content(cell_id, VERSION_WITHIN))
            if version is not None and version > SCHEMA_VERSION:
                raise UsageError(
                    f"'{self.folder}': {self._name(cell_id)} has {other_schema(version)}, or "
                    "give another folder with --out"
                )

    def write(self, record: CellRecord, rows: Sequence[FactRow]) -> None:
        """Write a cell atomically: facts first, then the record, both complete on disk before.

        A cell that is written again is absent in between, never a mixture of old and new.

        Raises:
            ValueError: A number that must be finite is not; names the field.
        """
        content = strict_json(record)
        cell_id = record.cell_id
        facts, cell = Path(self._facts_path(cell_id)), Path(self._cell_path(cell_id))
        for folder in (self.cells, self.facts):
            folder.mkdir(parents=True, exist_ok=True)
        with atomic.draft(facts) as staged_facts, atomic.draft(cell) as staged_cell:
            write_parquet(rows, staged_facts)
            staged_cell.write_bytes(content)
            for path in (staged_facts, staged_cell):
                atomic.flush(path)
            cell.unlink(missing_ok=True)
            os.replace(staged_facts, facts)
            os.replace(staged_cell, cell)
        for folder in (self.facts, self.cells):
            atomic.flush(folder)

    def read(self, cell_id: str) -> CellRecord | None:
        """Return a record, or None where it is absent or unreadable."""
        stored = self.stamp(cell_id) is not None
        record = self._load(cell_id, CellRecord) if stored else None
        return record if isinstance(record, CellRecord) else None

    def summary(self, cell_id: str) -> CellSummary | str | None:
        """Return a cell's summary, one line on why its record does not count, or None: absent."""
        stamp = self.stamp(cell_id)
        if stamp is None:
            return None
        if self._summaries.get(cell_id, (None, ""))[0] != stamp:
            self._summaries[cell_id] = (stamp, self._load(cell_id, CellSummary))
        return self._summaries[cell_id][1]

    def summaries(self) -> tuple[CellSummary, ...]:
        """Return the summaries of all cells that can be read."""
        found = map(self.summary, self._ids())
        return tuple(entry for entry in found if isinstance(entry, CellSummary))

    def stamp(self, cell_id: str) -> Stamp | None:
        """Return what changes whenever a cell is written; None while it is absent."""
        try:
            packed = self._is_packed(cell_id)
            status = os.stat(self._packed.cells if packed else self._cell_path(cell_id))
        except FileNotFoundError:
            return None
        return Stamp(status.st_mtime_ns, status.st_ino, status.st_size)

    def content(self, cell_id: str, size: int = -1) -> bytes:
        """Return the JSON of a record as it is stored, or its first bytes.

        Raises:
            OSError: It cannot be read.
        """
        if self._is_packed(cell_id):
            return self._packed.records[cell_id]
        with open(self._cell_path(cell_id), "rb") as file:
            return file.read(size)

    def set_aside(self, cell_id: str) -> None:
        """Rename what is there of a damaged cell to `.damaged`: it is absent, and not lost.

        A packed cell stays where it is: the cell that is written next wins over it.
        """
        for path in map(Path, (self._cell_path(cell_id), self._facts_path(cell_id))):
            if path.exists():
                os.replace(path, path.with_name(f"{path.name}.damaged"))

    def records(self) -> Records:
        """Read every record; an unreadable one becomes a line in `problems` and is absent."""
        loaded = [self._load(cell_id, CellRecord) for cell_id in self._ids()]
        return Records(
            records=tuple(entry for entry in loaded if isinstance(entry, CellRecord)),
            problems=tuple(entry for entry in loaded if isinstance(entry, str)),
        )

    def rows(self, cell_id: str) -> pd.DataFrame:
        """Return a cell's fact rows, one column per field of `FactRow`; none where none exist.

        Raises:
            DamagedRowsError: The file is damaged.
        """
        frame: pd.DataFrame = self.fact_table(cell_id).to_pandas(use_threads=False)
        return frame

    def fact_table(self, cell_id: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return some columns of a cell's fact rows in Arrow's form.

        Raises:
            DamagedRowsError: The file is damaged.
        """
        packed = self._is_packed(cell_id)
        path = str(self._packed.facts) if packed else self._facts_path(cell_id)
        try:
            if packed:
                return self._packed.fact_table(cell_id, columns)
            return read_parquet(Path(path), columns)
        except FileNotFoundError:
            return empty_table(columns)
        except (OSError, ValueError) as error:
            raise DamagedRowsError(
                cell_id, f"'{path}' is damaged: {' '.join(str(error).split())}"
            ) from error

    def find(self, prefix: str) -> CellRecord:
        """Return the one cell whose id starts with `prefix`.

        Raises:
            UsageError: None does, or several do; names near ones.
        """
        ids = self._ids()
        found = [cell_id for cell_id in ids if cell_id.startswith(prefix)] if prefix else []
        if len(found) != 1:
            self._refuse(prefix, ids, found)
        loaded = self._load(found[0], CellRecord)
        if isinstance(loaded, str):
            raise UsageError(loaded)
        return loaded

    def _refuse(self, prefix: str, ids: list[str], found: list[str]) -> NoReturn:
        if not ids:
            raise UsageError(f"no cells in '{self.folder}': run some first, or give --out")
        if found:
            some = ", ".join(cell_id[:ID_SHOWN] for cell_id in found[:4])
            raise UsageError(f"'{prefix}' names {len(found)} cells: {some}; give more characters")
        short = [cell_id[:ID_SHOWN] for cell_id in ids]
        close = nearest(prefix[:ID_SHOWN], short) or short[:3]
        raise UsageError(
            f"no cell '{prefix}' in '{self.folder}': it has {len(ids)}, such as {', '.join(close)}"
        )

    def _ids(self) -> list[str]:
        """Return the ids of the cells that are there, in order."""
        names = os.listdir(self.cells) if self.cells.is_dir() else ()
        loose = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return sorted({*loose, *self._packed.records})

    @cached_property
    def _packed(self) -> PackedCells:
        return PackedCells(self.folder)

    def _is_packed(self, cell_id: str) -> bool:
        """Return whether the record that counts is a packed one, and with it the fact rows."""
        return cell_id in self._packed.records and not os.path.exists(self._cell_path(cell_id))

    def _name(self, cell_id: str) -> str:
        """Return where a record is, inside the folder."""
        if self._is_packed(cell_id):
            return f"{self._packed.cells.name}, cell {cell_id}"
        return f"cells/{cell_id}.json"

    def _load(self, cell_id: str, kind: type[_Stored]) -> _Stored | str:
        """Return a cell's record, or one line on why it does not count."""
        try:
            return self._whole(cell_id, kind)
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"not a cell record: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (OSError, ValueError) as error:
            problem = " ".join(str(error).split())
        return f"{self._name(cell_id)}: {problem}"

    def _whole(self, cell_id: str, kind: type[_Stored]) -> _Stored:
        """Return a cell's record after checking that its fact rows are there."""
        content = self.content(cell_id)
        try:
            record = kind.model_validate_json(content)
        except ValidationError:
            _check_version(json.loads(content))  # says better what is wrong
            raise
        _check_version({"schema_version": record.schema_version})
        if record.cell_id != cell_id:
            raise ValueError(f"holds cell {record.cell_id}, not the one it is named after")
        if record.status is Status.DONE:
            self._check_facts(record.cell_id)
        return record

    def _check_facts(self, cell_id: str) -> None:
        try:
            if self._is_packed(cell_id):
                if not self._packed.has_facts(cell_id):
                    raise FileNotFoundError
                return
            whole = is_whole_parquet(self._facts_path(cell_id))
        except FileNotFoundError:
            raise ValueError("its fact rows are missing") from None
        if not whole:
            raise ValueError("its fact rows are damaged: the file is cut short")

    # Text, not `Path`: making ten thousand of those takes longer than looking at the files.
    def _cell_path(self, cell_id: str) -> str:
        return os.path.join(self.cells, f"{cell_id}.json")

    def _facts_path(self, cell_id: str) -> str:
        return os.path.join(self.facts, f"{cell_id}.parquet")


def _check_version(content: object) -> None:
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(other_schema(version))
