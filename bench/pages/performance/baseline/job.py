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
        device: Such as `cpu` or `cuda:0`.
        dtype: Number format of the base, `float32` or `bfloat16`.
        method: lora, dora, pissa, corda_kpm, corda_ipm or full.
        rank: Rank of the adapter, and its alpha.
        layers: Decoder layers to train, from 0; None means all.
        prompts, targets, weights: One of each for every trained fact; targets end with a stop.
        epochs, batch_size, learning_rate, seed, order_seed: How the training runs.
        calibration: Texts for CorDA.
        asked_before: Prompts that the untouched base answers.
        asked: Prompts that the trained model answers.
        likely: Prompts and targets whose likelihood is measured before and after training.
        budget: Most tokens of an answer.
        stops: Tokens that end an answer.
        task, rows: lm-eval's configuration of a forgetting task, and its documents.
        drift_starts: First token ids of each text that the base writes; empty measures no drift.
        drift_tokens, drift_seed: How long these texts are, and the seed they are sampled with.
        drift_checkpoint: How many of the first texts are measured after each epoch but the last.
    """

    model: str
    device: str
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
    asked_before: list[str]
    asked: list[str]
    likely: list[tuple[str, str]]
    budget: int
    stops: list[int]
    task: dict[str, Any]
    rows: list[dict[str, Any]]
    drift_starts: list[list[int]]
    drift_tokens: int
    drift_seed: int
    drift_checkpoint: int

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
        answers_before, answers: The answer to each prompt of `asked_before` and `asked`.
        nll_before, nll: The NLL of each `likely` target, in nats per token.
        items_before, items: lm-eval's score of each document.
        path: The mean drift after each epoch but the last, in nats per token.
        drift: The drift of each text after training.
        seconds: Seconds of each phase: load, before, prepare, train, path, after.
    """

    losses: list[float]
    answers_before: list[str]
    answers: list[str]
    nll_before: list[float]
    nll: list[float]
    items_before: list[float]
    items: list[float]
    path: list[float]
    drift: list[float]
    seconds: dict[str, float]

    def write(self, path: Path) -> None:
        """Write the findings for the process that asked."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Found:
        """Read what `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))
