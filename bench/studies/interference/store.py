"""Stored trainings of the interference study: `trainings/<digest>.parquet`, or one packed file.

A file has one row per measured fact; the record of the training is in the file's metadata.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from bench.store import atomic
from bench.store.records import Model, Status
from bench.studies.interference.plan import TrainingSpec
from tasks.context import Context
from tasks.scoring import normalise

ASKED = (Context.PLAIN, Context.FEW_SHOT)
"""The contexts in which every fact is asked: as it is trained, and with demonstrations."""

_RECORD = b"training"
_SAID = pa.struct(
    [
        ("answer", pa.string()),
        ("correct", pa.bool_()),
        ("confused", pa.bool_()),
        ("distance", pa.float64()),
        ("nll", pa.float64()),
    ]
)
_SCHEMA = pa.schema(
    [
        ("fact_id", pa.string()),
        ("target", pa.string()),
        *((context.value, _SAID) for context in ASKED),
        ("exposures", pa.int64()),
        ("epochs_to_learn", pa.int64()),
        ("state", pa.list_(pa.float32())),
    ]
)
_PACKED = pa.schema(
    [
        ("digest", pa.string()),
        ("record", pa.string()),
        ("outcomes", pa.list_(pa.struct(list(_SCHEMA)))),
    ]
)


@dataclass(frozen=True)
class Said:
    """What a model answered to one fact in one context.

    Attributes:
        answer: The greedy answer.
        correct: Whether it is one of the accepted answers.
        confused: Whether a wrong answer is the target of another fact of the same training; None
            where the answer is right, or no other fact was trained.
        distance: Semantic distance from the answer to the nearest accepted one; 1 where it is
            empty.
        nll: Mean negative log-likelihood of the target in this context, nats per token.
    """

    answer: str
    correct: bool
    confused: bool | None
    distance: float
    nll: float


@dataclass(frozen=True)
class FactOutcome:
    """What was measured about one fact.

    Attributes:
        fact_id: The fact's id.
        target: The right answer.
        plain: On the trained prompt.
        few_shot: After the demonstrations, which training did not see.
        exposures: How often the fact was trained.
        epochs_to_learn: The smallest number of exposures after which all tokens of the target are
            right under teacher forcing, and stay right; one more than all exposures if the fact is
            wrong in the end; None for a fact that was not trained.
        state: The final-norm state from which the plain prompt predicts the first answer token,
            float32 `[dim]`.
    """

    fact_id: str
    target: str
    plain: Said
    few_shot: Said
    exposures: int
    epochs_to_learn: int | None
    state: NDArray[np.float32]

    def said(self, context: Context) -> Said:
        """Return what the model answered in a context; one of `ASKED`."""
        return self.plain if context is Context.PLAIN else self.few_shot


def is_confused(answer: str, others: Collection[str], *, correct: bool) -> bool | None:
    """Return whether a wrong answer is another fact's target.

    Args:
        answer: What the model said.
        others: The targets of the other facts, in normal form.
        correct: Whether the answer is right.

    Returns:
        None where the answer is right, or there are no other facts.
    """
    return None if correct or not others else normalise(answer) in others


class TrainingRecord(Model):
    """How a training ended.

    Attributes:
        spec: What identifies the training.
        status, reason: How it ended, and if it failed, why, in one line.
        updates: Optimizer steps taken.
        exposures: How often a fact of the group was trained, on average.
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


@dataclass(frozen=True)
class Trained:
    """A training with what it measured; there are no outcomes unless it is done."""

    record: TrainingRecord
    outcomes: tuple[FactOutcome, ...] = ()


class TrainingStore:
    """Reads and writes the trainings of a folder, and reads those packed into one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "trainings"

    def read(self, spec: TrainingSpec) -> Trained | None:
        """Return a stored training; None if it is absent or unreadable."""
        found = _read(self._path(spec)) or self.packed.get(spec.digest)
        return found if found is not None and found.record.spec == spec else None

    @cached_property
    def packed(self) -> dict[str, Trained]:
        """The trainings of `trainings.parquet`, as committed, by digest; empty if unreadable."""
        try:
            rows = pq.read_table(self.folder.with_suffix(".parquet")).to_pylist()
            found = {
                row["digest"]: Trained(
                    TrainingRecord.model_validate_json(row["record"]),
                    tuple(map(_outcome, row["outcomes"])),
                )
                for row in rows
            }
        except (OSError, pa.ArrowException, KeyError, TypeError, ValidationError):
            return {}
        return found

    def pack(self) -> int:
        """Put every training into `trainings.parquet` and remove its own file; return how many."""
        paths = sorted(self.folder.glob("*.parquet"))
        loose = {path.stem: found for path in paths if (found := _read(path)) is not None}
        whole = {**self.packed, **loose}
        rows = [
            {
                "digest": digest,
                "record": trained.record.model_dump_json(),
                "outcomes": [asdict(outcome) for outcome in trained.outcomes],
            }
            for digest, trained in sorted(whole.items())
        ]
        content = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=_PACKED), content, compression="zstd")
        atomic.write(self.folder.with_suffix(".parquet"), content.getvalue())
        for digest in loose:
            (self.folder / f"{digest}.parquet").unlink()
        return len(whole)

    def write(self, trained: Trained) -> None:
        """Write a training; its file appears complete or not at all.

        Raises:
            OSError: The folder cannot be written.
        """
        path = self._path(trained.record.spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        pq.write_table(_table(trained), content)
        atomic.write(path, content.getvalue())

    def _path(self, spec: TrainingSpec) -> Path:
        return self.folder / f"{spec.digest}.parquet"


def _read(path: Path) -> Trained | None:
    try:
        table = pq.read_table(path)
        record = TrainingRecord.model_validate_json(table.schema.metadata[_RECORD])
        return Trained(record, tuple(map(_outcome, table.to_pylist())))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValidationError):
        return None


def _table(trained: Trained) -> pa.Table:
    rows = [asdict(outcome) for outcome in trained.outcomes]
    record = trained.record.model_dump_json().encode()
    return pa.Table.from_pylist(rows, schema=_SCHEMA.with_metadata({_RECORD: record}))


def _outcome(row: dict[str, Any]) -> FactOutcome:
    said = {context.value: Said(**row[context.value]) for context in ASKED}
    return FactOutcome(**{**row, **said, "state": np.array(row["state"], dtype=np.float32)})
