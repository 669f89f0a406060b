"""Stored trainings of a study: `trainings/<digest>.parquet`, or one packed file.

A file has one row per outcome, such as a fact that was measured; the record of the training is in
the file's metadata.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from bench.store import atomic
from bench.store.records import CellSpec, Model, Status

_RECORD = b"training"


class TrainingSpec(Model):
    """What identifies a training; its digest names its file. Studies add fields.

    Attributes:
        version: Of what is measured; another number makes stored trainings run again.
        cell: Base, recipe, schedule, seed and the facts that are trained.
    """

    version: int
    cell: CellSpec

    @property
    def digest(self) -> str:
        """A digest of the whole specification, 16 hexadecimal digits."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class TrainingRecord(Model):
    """How a training ended. Studies narrow the type of `spec`, and add fields.

    Attributes:
        spec: What identifies the training.
        status, reason: How it ended, and if it failed, why, in one line.
        updates: Optimizer steps taken.
        exposures: How often a fact was trained, on average.
        seconds: Wall time of training and measuring.
        provenance: Commit, versions and device.
    """

    spec: TrainingSpec
    status: Status
    reason: str = ""
    updates: int = 0
    exposures: float = 0.0
    seconds: float = 0.0
    provenance: dict[str, Any] = Field(default_factory=dict)


Record = TypeVar("Record", bound=TrainingRecord)
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Trained(Generic[Record, Outcome]):
    """A training with what it measured; there are no outcomes unless it is done."""

    record: Record
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True)
class Layout(Generic[Record, Outcome]):
    """How a study's trainings are stored.

    Attributes:
        record: The class of the records.
        schema: The columns of an outcome, a dataclass with fields of the same names.
        outcome: Makes an outcome of a row.
    """

    record: type[Record]
    schema: pa.Schema
    outcome: Callable[[dict[str, Any]], Outcome]


class TrainingStore(Generic[Record, Outcome]):
    """Reads and writes the trainings of a study, and reads those packed into one file.

    Args:
        folder: The study's folder.
        layout: How its trainings are stored.
    """

    def __init__(self, folder: Path, layout: Layout[Record, Outcome]) -> None:
        self.folder = folder / "trainings"
        self._layout = layout

    def read(self, spec: TrainingSpec) -> Trained[Record, Outcome] | None:
        """Return a stored training; None if it is absent or unreadable."""
        found = self._read(self._path(spec)) or self.packed.get(spec.digest)
        return found if found is not None and found.record.spec == spec else None

    @cached_property
    def packed(self) -> dict[str, Trained[Record, Outcome]]:
        """The trainings of `trainings.parquet`, as committed, by digest; empty if unreadable."""
        try:
            rows = pq.read_table(self.folder.with_suffix(".parquet")).to_pylist()
            found = {
                row["digest"]: Trained(
                    self._layout.record.model_validate_json(row["record"]),
                    tuple(map(self._layout.outcome, row["outcomes"])),
                )
                for row in rows
            }
        except (OSError, pa.ArrowException, KeyError, TypeError, ValidationError):
            return {}
        return found

    def all(self) -> list[Trained[Record, Outcome]]:
        """Return every readable training, in the order of their digests."""
        return [trained for _, trained in sorted({**self.packed, **self._loose()}.items())]

    def _loose(self) -> dict[str, Trained[Record, Outcome]]:
        """Return the trainings with files of their own, by digest."""
        paths = sorted(self.folder.glob("*.parquet"))
        return {path.stem: found for path in paths if (found := self._read(path)) is not None}

    def unreadable(self) -> list[Path]:
        """Return the files that hold no training that can be read."""
        loose = self._loose()
        broken = [path for path in sorted(self.folder.glob("*.parquet")) if path.stem not in loose]
        packed = self.folder.with_suffix(".parquet")
        return [*broken, *([packed] if packed.exists() and not self.packed else [])]

    def pack(self) -> int:
        """Put every training into `trainings.parquet` and remove its own file; return how many."""
        loose = self._loose()
        whole = {**self.packed, **loose}
        rows = [
            {
                "digest": digest,
                "record": trained.record.model_dump_json(),
                "outcomes": _rows(trained),
            }
            for digest, trained in sorted(whole.items())
        ]
        schema = pa.schema(
            [
                ("digest", pa.string()),
                ("record", pa.string()),
                ("outcomes", pa.list_(pa.struct(list(self._layout.schema)))),
            ]
        )
        content = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), content, compression="zstd")
        atomic.write(self.folder.with_suffix(".parquet"), content.getvalue())
        for digest in loose:
            (self.folder / f"{digest}.parquet").unlink()
        return len(whole)

    def write(self, trained: Trained[Record, Outcome]) -> None:
        """Write a training; its file appears complete or not at all.

        Raises:
            OSError: The folder cannot be written.
        """
        path = self._path(trained.record.spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        record = trained.record.model_dump_json().encode()
        schema = self._layout.schema.with_metadata({_RECORD: record})
        pq.write_table(pa.Table.from_pylist(_rows(trained), schema=schema), content)
        atomic.write(path, content.getvalue())

    def _path(self, spec: TrainingSpec) -> Path:
        return self.folder / f"{spec.digest}.parquet"

    def _read(self, path: Path) -> Trained[Record, Outcome] | None:
        try:
            table = pq.read_table(path)
            record = self._layout.record.model_validate_json(table.schema.metadata[_RECORD])
            return Trained(record, tuple(map(self._layout.outcome, table.to_pylist())))
        except (OSError, pa.ArrowException, KeyError, TypeError, ValidationError):
            return None


def _rows(trained: Trained[Any, Any]) -> list[dict[str, Any]]:
    return [asdict(outcome) for outcome in trained.outcomes]
