"""What the study of order measured of each fact, and how its trainings are stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from bench.studies import training_store
from bench.studies.learner import ANSWERS, FactAnswers
from bench.studies.order.plan import OrderSpec

_SCHEMA = pa.schema(
    [
        *ANSWERS,
        ("place", pa.int64()),
        ("exposures", pa.int64()),
        ("taught", pa.bool_()),
        ("right_then", pa.bool_()),
        ("known", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class FactOutcome(FactAnswers):
    """What was measured about one fact when all had been trained, and when it had been.

    Attributes:
        place: Its place among the facts that are trained one after another, from 0.
        exposures: How often it was trained.
        taught: Whether all of its target tokens were right under teacher forcing when its own
            training ended: one after another directly after it, in epochs after the last.
        right_then: Whether the greedy answer to the trained prompt was right then.
        known: Whether the base answered it with demonstrations.
    """

    place: int
    exposures: int
    taught: bool
    right_then: bool
    known: bool


class OrderRecord(training_store.TrainingRecord):
    """How a training ended.

    Attributes:
        drift: Mean KL to the base on each of the base's own texts, nats per token.
    """

    spec: OrderSpec
    drift: list[float] = Field(default_factory=list)


Trained = training_store.Trained[OrderRecord, FactOutcome]


class OrderStore(training_store.TrainingStore[OrderRecord, FactOutcome]):
    """Reads and writes the trainings of a folder, one row per fact."""

    def __init__(self, folder: Path) -> None:
        layout = training_store.Layout(OrderRecord, _SCHEMA, lambda row: FactOutcome(**row))
        super().__init__(folder, layout)
