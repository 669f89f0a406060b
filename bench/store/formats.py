"""The formats of a stored cell: strict JSON for the record, Parquet for the fact rows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from bench.redaction import without_secrets
from bench.store.knowledge import KnowledgeCategory
from bench.store.records import (
    SCHEMA_VERSION,
    CellRecord,
    CellSpec,
    Checkpoint,
    FactRow,
    Phase,
    PhaseName,
    Status,
)

if TYPE_CHECKING:
    import pyarrow as pa

_VERSION = re.compile(rb'"schema_version"\s*:\s*(\d+)')
VERSION_WITHIN = 512
"""The schema version is within this many bytes at the start of a record."""

_MAGIC = b"PAR1"

PARQUET: dict[str, Any] = {"write_statistics": False, "store_schema": False}
"""Nobody searches within a cell, and its types are known; without these reading takes half."""

ROWS_AT_ONCE = 2**15
"""Fact rows in one group of a Parquet file."""


class Asked(BaseModel):
    """A forgetting task as it was measured: its name, its limit on items, and the result."""

    model_config = ConfigDict(frozen=True)

    task: str
    limit: int
    forgetting: float
    at_floor: bool


class Evaluation(BaseModel):
    """A task of `--evaluate` as it was measured: its name and its limit on items."""

    model_config = ConfigDict(frozen=True)

    task: str
    limit: int


class Scores(BaseModel):
    """The metrics that candidates are chosen by, see `bench.planning.tuning`."""

    model_config = ConfigDict(frozen=True)

    learned_half: float | None = None
    reliability: float | None = None
    generality: float | None = None
    drift_at_90: float | None = None
    drift_at_50: float | None = None
    auroc: float | None = None


class Explained(BaseModel):
    """What `--explain` measured a cell on."""

    model_config = ConfigDict(frozen=True)

    knowledge_digest: str = ""


class CellSummary(BaseModel):
    """What a grid needs to know of a stored cell; reading it takes a tenth of a record's time."""

    model_config = ConfigDict(frozen=True)

    schema_version: int
    cell_id: str
    spec: CellSpec
    status: Status
    adapter_path: str = ""
    save_failed: bool = False
    metrics: Scores | None = None
    forgetting: tuple[Asked, ...] = ()
    evaluated: tuple[Evaluation, ...] = ()
    path: tuple[Checkpoint, ...] = ()
    phases: dict[PhaseName, Phase] = Field(default_factory=dict)
    change: Explained | None = None

    @property
    def seconds(self) -> float:
        """The time the cell took, as if nothing had been cached."""
        return sum(phase.seconds_cold for phase in self.phases.values())

    @property
    def peak_bytes(self) -> int:
        """The peak memory over all phases."""
        return max((phase.peak_bytes for phase in self.phases.values()), default=0)


def schema_version(content: bytes) -> int | None:
    """Return the schema version in the first bytes of a record; None if there is none."""
    found = _VERSION.search(content[:VERSION_WITHIN])
    return int(found[1]) if found else None


def other_schema(version: object) -> str:
    """Describe a record of another schema version, and what to do about it."""
    told = f"schema version {version}, but this program reads {SCHEMA_VERSION}"
    if isinstance(version, int) and version < SCHEMA_VERSION:
        return f"{told}: written by an older program; run its cell again"
    if isinstance(version, int):
        return f"{told}: written by a newer program; update this one"
    return told


def is_whole_parquet(path: str) -> bool:
    """Return whether a Parquet file is complete: a truncated one lacks its footer.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        footer = file.read()
    length = int.from_bytes(footer[:4], "little")
    return size > 12 and footer[4:] == _MAGIC and length <= size - 12


def strict_json(record: CellRecord) -> bytes:
    """Return the record as JSON; NaN and infinity become null in fields that allow it."""
    content = _finite(record.model_dump(mode="json"))
    CellRecord.model_validate(content)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return without_secrets(text).encode() + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_finite(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@lru_cache(maxsize=16)
def arrow_schema(others: tuple[str, ...] = ()) -> pa.Schema:
    """Return the columns of fact rows; their types do not depend on the rows.

    Args:
        others: Names of further metrics, which are numbers.
    """
    import pyarrow as pa

    kinds: dict[object, pa.DataType] = {
        str: pa.string(),
        str | None: pa.string(),
        KnowledgeCategory: pa.string(),
        bool: pa.bool_(),
        bool | None: pa.bool_(),
        int | None: pa.int64(),
        float: pa.float64(),
        float | None: pa.float64(),
        list[str]: pa.list_(pa.string()),
        list[float]: pa.list_(pa.float64()),
        list[str] | None: pa.list_(pa.string()),
        list[float] | None: pa.list_(pa.float64()),
    }
    declared = [(name, kinds[field.annotation]) for name, field in FactRow.model_fields.items()]
    return pa.schema([*declared, *((name, pa.float64()) for name in others)])


def arrow_table(rows: Sequence[FactRow]) -> pa.Table:
    """Return the fact rows of a cell as a table; all have the same metrics as the first row."""
    import pyarrow as pa

    lines = [row.model_dump(mode="json") for row in rows]
    return pa.Table.from_pylist(
        lines, schema=arrow_schema(tuple(rows[0].model_extra or ()) if rows else ())
    )


def empty_table(columns: Sequence[str] | None = None) -> pa.Table:
    """Return a table without rows; `columns` selects columns, None means all."""
    return _schema(None if columns is None else tuple(columns)).empty_table()


def write_parquet(rows: Sequence[FactRow], path: Path) -> None:
    """Write fact rows as Parquet, in groups: each row takes 3 kB as Python objects."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, arrow_table(rows[:1]).schema, **PARQUET) as file:
        for start in range(0, max(1, len(rows)), ROWS_AT_ONCE):
            file.write_table(arrow_table(rows[start : start + ROWS_AT_ONCE]))


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read fact rows; `columns` selects columns, None means all, even those of removed plug-ins.

    A metric that was not measured is a column of nulls.

    Raises:
        OSError: The file cannot be read, or its columns are damaged.
        ValueError: It is not a Parquet file, or lacks a required column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # For a small file this takes a third of the time of `pq.read_table`.
    with open(path, "rb") as source:
        content = pa.BufferReader(source.read())
    try:
        file = pq.ParquetFile(content)
        table = file.read(columns=columns, use_threads=False)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    return selected(table, columns)


def selected(table: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    """Select columns from a table of fact rows, as `read_parquet` does.

    Raises:
        ValueError: The table lacks a required column.
    """
    import pyarrow as pa

    names = None if columns is None else tuple(columns)
    # Files of one run are alike: where their columns lie is worked out once for all of them.
    known = _layouts.get(names)
    if known is None or not table.schema.equals(known.stored):
        known = _layouts[names] = _layout(table.schema, names)
    if known.places is None:
        return table
    found = [
        pa.nulls(len(table), field.type) if place is None else table.column(place)
        for field, place in zip(known.wanted, known.places, strict=True)
    ]
    return pa.Table.from_arrays(found, schema=known.wanted)


class _Layout(NamedTuple):
    """Where the columns of `wanted` lie in files of the schema `stored`.

    Attributes:
        stored, wanted: The schema of a file, and of what is read from it.
        places: The place in the file of each wanted column; None for one that it lacks, and for
            all of them where the file holds what is wanted.
    """

    stored: pa.Schema
    wanted: pa.Schema
    places: list[int | None] | None


_layouts: dict[tuple[str, ...] | None, _Layout] = {}
"""By the selected columns the layout of the file that was read last."""


def _layout(stored: pa.Schema, columns: tuple[str, ...] | None) -> _Layout:
    """Find the columns in a file.

    Raises:
        ValueError: It lacks a required one.
    """
    import pyarrow as pa

    wanted = _schema(columns)
    if stored.equals(wanted):
        return _Layout(stored, wanted, None)
    if columns is None:
        wanted = pa.schema([*wanted, *(f for f in stored if f.name not in wanted.names)])
    places: list[int | None] = []
    for field in wanted:
        place = stored.get_field_index(field.name)
        declared = FactRow.model_fields.get(field.name)
        if place >= 0 and stored.field(place).type == field.type:
            places.append(place)
        elif place < 0 and (declared is None or not declared.is_required()):
            places.append(None)
        else:
            raise ValueError(f"it has no column {field.name} of type {field.type}")
    return _Layout(stored, wanted, places)


@lru_cache(maxsize=16)
def _schema(columns: tuple[str, ...] | None) -> pa.Schema:
    import pyarrow as pa

    if columns is None:
        return arrow_schema()
    others = tuple(name for name in columns if name not in FactRow.model_fields)
    return pa.schema([arrow_schema(others).field(name) for name in columns])
