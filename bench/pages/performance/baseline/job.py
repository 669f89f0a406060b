"""What one baseline process is asked to do, and what it found, as JSON files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """One method on some facts.

    Attributes:
        model: Transformers folder.
        dtype: Number format of the base, `float32` or `bfloat16`.
        method: lora, dora, pissa, corda_kpm, corda_ipm or full.
        rank: Rank of the adapter, and its alpha.
        layers: Decoder layers to train, from 0; None means all.
        prompts, targets, weights: One of each for every trained fact; targets end with a stop.
        epochs, batch_size, learning_rate, seed, order_seed: How the training runs.
        calibration: Texts for CorDA.
        questions: Prompts that are answered before and after training.
        likely: Prompts and targets whose likelihood is measured before and after training.
        budget: Most tokens of an answer.
        stops: Tokens that end an answer.
        task, rows: lm-eval's configuration of a forgetting task, and its documents.
    """

    model: str
    dtype: str
    method: str
    rank: int
    layers: list[int] | None
    prompts: list[str]
    targets: list[str]
    weights: list[float]
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    order_seed: int
    calibration: list[str]
    questions: list[str]
    likely: list[tuple[str, str]]
    budget: int
    stops: list[int]
    task: dict[str, Any]
    rows: list[dict[str, Any]]

    def write(self, path: Path) -> None:
        """Write the job for another process."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read what `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Found:
    """What a job found.

    Attributes:
        losses: The loss of each optimizer step.
        answers_before, answers: The answer to each question, before and after training.
        nll_before, nll: The NLL of each `likely` target, in nats per token.
        items_before, items: lm-eval's score of each document.
        seconds: Seconds of each phase: load, before, prepare, train, after.
    """

    losses: list[float]
    answers_before: list[str]
    answers: list[str]
    nll_before: list[float]
    nll: list[float]
    items_before: list[float]
    items: list[float]
    seconds: dict[str, float]

    def write(self, path: Path) -> None:
        """Write the findings for the process that asked."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Found:
        """Read what `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))
