"""The results store: one record and one table of fact rows per cell, each absent or complete.

cells/<cell_id>.json       a `CellRecord`; its presence is what makes a cell exist
unfinished/<cell_id>-N.pt  the state of a training under way, in N parts a batch
facts/<cell_id>.parquet    its `FactRow`s, written before the record

Committed sets are packed, see `bench.store.packed`; they are read here, too, but never written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

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

UNFINISHED = "unfinished"
"""Inside a results folder; holds the states of trainings under way."""

STUDIES_FOLDER = "studies"
"""Inside a results folder; holds the tables and pictures of studies."""

ID_SHOWN = 12
"""How many characters of a cell id are shown; any unique prefix identifies a cell."""


@dataclass(frozen=True)
class Records:
    """The readable records of a folder in the order of their ids, and a line for each other one."""

    records: tuple[CellRecord, ...]
    problems: tuple[str, ...]


class Stamp(NamedTuple):
    """Changes whenever a record is written: `st_mtime_ns`, `st_ino` and `st_size`."""

    written: int
    file: int
    size: int


class DamagedRowsError(UsageError):
    """The fact rows of a cell cannot be read."""

    def __init__(self, cell_id: str, line: str) -> None:
        super().__init__(line)
        self.cell_id = cell_id


class ResultsStore:
    """Reads and writes the cells of one results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        self._unfinished = folder / UNFINISHED
        self.facts = folder / "facts"
        self._summaries: dict[str, tuple[Stamp, CellSummary | str]] = {}

    def ensure_writable(self) -> None:
        """Create the folders, and check that results can be written to them.

        Raises:
            UsageError: They cannot.
        """
        atomic.ensure_writable(self.folder, self.cells, self.facts)

    def refuse_newer(self) -> None:
        """Refuse a folder that a newer program has written to, and a path that leads to a file.

        Raises:
            UsageError: It is one; the error names a record or the file.
        """
        nearest_there = next(filter(os.path.exists, (self.folder, *self.folder.parents)))
        if not nearest_there.is_dir():
            raise UsageError(
                f"cannot write results to '{self.folder}': '{nearest_there}' is not a folder; "
                "choose another one with --out"
            )
        for cell_id in self._ids():
            version = schema_version(self.content(cell_id, VERSION_WITHIN))
            if version is not None and version > SCHEMA_VERSION:
                raise UsageError(
                    f"'{self.folder}': {self._name(cell_id)} has {other_schema(version)}, or "
                    "choose another folder with --out"
                )

    def write(self, record: CellRecord, rows: Sequence[FactRow]) -> None:
        """Write a cell atomically: both files are flushed to disk, then renamed, the record last.

        While a cell is rewritten it is absent for a moment, but never a mixture of old and new.

        Raises:
            ValueError: A number that must be finite is not; the error names the field.
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
        if record.status is not Status.INTERRUPTED:
            self._end_training(cell_id)

    def unfinished(self) -> set[str]:
        """Return the ids of cells whose training was stopped and can be continued."""
        return {path.name.rpartition("-")[0] for path in self._unfinished.glob("*.pt")}

    def _end_training(self, cell_id: str) -> None:
        """Remove the states of a training that is over."""
        # A kill leaves half a state under a hidden name.
        for pattern in (f"{cell_id}-*.pt", f".{cell_id}-*.tmp"):
            for path in self._unfinished.glob(pattern):
                path.unlink(missing_ok=True)
        with suppress(OSError):  # others may still be under way
            self._unfinished.rmdir()

    def read(self, cell_id: str) -> CellRecord | None:
        """Return a record; None if it is absent or unreadable."""
        stored = self.stamp(cell_id) is not None
        record = self._load(cell_id, CellRecord) if stored else None
        return record if isinstance(record, CellRecord) else None

    def summary(self, cell_id: str) -> CellSummary | str | None:
        """Return a cell's summary, a line on why it is unreadable, or None if it is absent."""
        stamp = self.stamp(cell_id)
        if stamp is None:
            return None
        if self._summaries.get(cell_id, (None, ""))[0] != stamp:
            self._summaries[cell_id] = (stamp, self._load(cell_id, CellSummary))
        return self._summaries[cell_id][1]

    def summaries(self) -> tuple[CellSummary, ...]:
        """Return the summaries of all readable cells."""
        found = map(self.summary, self._ids())
        return tuple(entry for entry in found if isinstance(entry, CellSummary))

    def stamp(self, cell_id: str) -> Stamp | None:
        """Return what changes whenever a cell is written; None if it is absent."""
        try:
            packed = self._is_packed(cell_id)
            status = os.stat(self._packed.cells if packed else self._cell_path(cell_id))
        except FileNotFoundError:
            return None
        return _stamp(status)

    def stamps(self) -> dict[str, Stamp]:
        """Return the stamps of all cells by their ids; one look at the folder, however many."""
        packed = self._packed.records
        found: dict[str, Stamp] = {}
        if packed:
            with suppress(FileNotFoundError):
                found = dict.fromkeys(packed, _stamp(os.stat(self._packed.cells)))
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.cells) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    with suppress(FileNotFoundError):  # rewritten, or deleted, meanwhile
                        found[entry.name.removesuffix(".json")] = _stamp(entry.stat())
        return found

    def content(self, cell_id: str, size: int = -1) -> bytes:
        """Return the stored JSON of a record, or its first `size` bytes.

        Raises:
            OSError: It cannot be read.
        """
        if self._is_packed(cell_id):
            return self._packed.records[cell_id]
        with open(self._cell_path(cell_id), "rb") as file:
            return file.read(size)

    def set_aside(self, cell_id: str) -> None:
        """Rename the files of a damaged cell to `.damaged`: it becomes absent, but is not lost.

        A packed cell stays where it is; a newly written one takes precedence.
        """
        for path in map(Path, (self._cell_path(cell_id), self._facts_path(cell_id))):
            if path.exists():
                os.replace(path, path.with_name(f"{path.name}.damaged"))

    def records(self) -> Records:
        """Read every record; for an unreadable one there is a line in `problems`."""
        loaded = [self._load(cell_id, CellRecord) for cell_id in self._ids()]
        return Records(
            records=tuple(entry for entry in loaded if isinstance(entry, CellRecord)),
            problems=tuple(entry for entry in loaded if isinstance(entry, str)),
        )

    def rows(self, cell_id: str) -> pd.DataFrame:
        """Return a cell's fact rows, one column per field of `FactRow`; no rows if it has none.

        Raises:
            DamagedRowsError: The file is damaged.
        """
        frame: pd.DataFrame = self.fact_table(cell_id).to_pandas(use_threads=False)
        return frame

    def fact_table(self, cell_id: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a cell's fact rows as an Arrow table; `columns` selects columns, None means all.

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
            UsageError: None does, or several do; the error suggests some.
        """
        ids = self._ids()
        found = [cell_id for cell_id in ids if cell_id.startswith(prefix)] if prefix else []
        if not ids:
            raise UsageError(f"no cells in '{self.folder}': run a grid first, or give --out")
        if len(found) > 1:
            some = ", ".join(cell_id[:ID_SHOWN] for cell_id in found[:4])
            raise UsageError(f"'{prefix}' matches {len(found)} cells: {some}; type more characters")
        if not found:
            short = [cell_id[:ID_SHOWN] for cell_id in ids]
            close = ", ".join(nearest(prefix[:ID_SHOWN], short) or short[:3])
            raise UsageError(
                f"no cell '{prefix}' in '{self.folder}'; it has {len(ids)} cells, such as {close}"
            )
        loaded = self._load(found[0], CellRecord)
        if isinstance(loaded, str):
            raise UsageError(loaded)
        return loaded

    def _ids(self) -> list[str]:
        """Return the ids of all cells, sorted."""
        names = os.listdir(self.cells) if self.cells.is_dir() else ()
        loose = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return sorted({*loose, *self._packed.records})

    @cached_property
    def _packed(self) -> PackedCells:
        return PackedCells(self.folder)

    def _is_packed(self, cell_id: str) -> bool:
        """Return whether the cell is read from the packed files."""
        return cell_id in self._packed.records and not os.path.exists(self._cell_path(cell_id))

    def _name(self, cell_id: str) -> str:
        """Name the place of a record inside the folder."""
        if self._is_packed(cell_id):
            return f"{self._packed.cells.name}, cell {cell_id}"
        return f"cells/{cell_id}.json"

    def _load(self, cell_id: str, kind: type[_Stored]) -> _Stored | str:
        """Return a cell's record, or a line on why it is unreadable."""
        try:
            return self._whole(cell_id, kind)
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"not a cell record: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (OSError, ValueError) as error:
            problem = " ".join(str(error).split())
        return f"{self._name(cell_id)}: {problem}"

    def _whole(self, cell_id: str, kind: type[_Stored]) -> _Stored:
        """Return a cell's record after checking that its fact rows exist."""
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
            raise ValueError("its fact rows are damaged: the file is truncated")

    # Text, not `Path`: creating ten thousand paths takes longer than looking at the files.
    def _cell_path(self, cell_id: str) -> str:
        return os.path.join(self.cells, f"{cell_id}.json")

    def _facts_path(self, cell_id: str) -> str:
        return os.path.join(self.facts, f"{cell_id}.parquet")


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_mtime_ns, status.st_ino, status.st_size)


def _check_version(content: object) -> None:
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(other_schema(version))
