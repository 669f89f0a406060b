"""What the interference study measured of each fact, and how its trainings are stored."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.studies import training_store
from bench.studies.interference.plan import TrainingSpec
from tasks.context import Context
from tasks.scoring import normalise

ASKED = (Context.PLAIN, Context.FEW_SHOT)
"""The contexts in which every fact is asked: as it is trained, and with demonstrations."""

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


class TrainingRecord(training_store.TrainingRecord):
    """How a training ended; its exposures are those of the group's facts."""

    spec: TrainingSpec


Trained = training_store.Trained[TrainingRecord, FactOutcome]


class TrainingStore(training_store.TrainingStore[TrainingRecord, FactOutcome]):
    """Reads and writes the trainings of a folder, one row per measured fact."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, training_store.Layout(TrainingRecord, _SCHEMA, _outcome))


def _outcome(row: dict[str, Any]) -> FactOutcome:
    said = {context.value: Said(**row[context.value]) for context in ASKED}
    return FactOutcome(**{**row, **said, "state": np.array(row["state"], dtype=np.float32)})
