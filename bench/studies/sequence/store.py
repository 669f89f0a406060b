"""What the study of sequences measured of each fact after each part, and how it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from bench.studies import training_store
from bench.studies.learner import ANSWERS, FactAnswers
from bench.studies.sequence.plan import SequenceSpec

_SCHEMA = pa.schema([*ANSWERS, ("stage", pa.int64()), ("part", pa.int64())])


@dataclass(frozen=True)
class StageOutcome(FactAnswers):
    """What was measured about one fact after one part was trained.

    Attributes:
        stage: The part that was trained last, from 1; 0 before training.
        part: The part that the fact belongs to, from 1.
    """

    stage: int
    part: int


class SequenceRecord(training_store.TrainingRecord):
    """How a sequence ended.

    Attributes:
        drift: After each part, the mean KL to the base on each of the base's own texts, in nats per
            token, `[parts][texts]`.
    """

    spec: SequenceSpec
    drift: list[list[float]] = Field(default_factory=list)


Trained = training_store.Trained[SequenceRecord, StageOutcome]


class SequenceStore(training_store.TrainingStore[SequenceRecord, StageOutcome]):
    """Reads and writes the sequences of a folder, one row per stage and fact."""

    def __init__(self, folder: Path) -> None:
        layout = training_store.Layout(SequenceRecord, _SCHEMA, lambda row: StageOutcome(**row))
        super().__init__(folder, layout)
