"""The command that trains a cell once more."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from bench.config.options import RunOptions
from bench.store.records import CellRecord

_SAME = (
    ("batch_size", "--batch-size"),
    ("accumulation", "--accumulation"),
    ("schedule", "--schedule"),
    ("warmup", "--warmup"),
    ("train_prompt", "--train-prompt"),
)
"""Fields of a cell that are written only where they are not what a run does by itself."""


def run_command(record: CellRecord) -> str:
    """Return a command whose one cell is that of a record.

    A tuned cell trains on its own part of the facts, which no command without the tuning selects:
    there it gives the same setting on other facts.
    """
    return f"python -m bench run {shlex.join(_words(record))}"


def _words(record: CellRecord) -> Iterator[str]:
    spec = record.spec
    yield from ("--methods", spec.method, "--tasks", spec.task, "--models", spec.model)
    if spec.after:
        yield from ("--after", f"{spec.after.task}:{spec.after.mode}:{spec.after.method}")
    yield from ("--seeds", str(spec.seed), "--lr", repr(spec.learning_rate))
    yield from ("--epochs", str(spec.epochs), "--limit", str(spec.trained))
    for field, option in _SAME:
        if (value := getattr(spec, field)) != RunOptions.model_fields[field].default:
            yield from (option, str(value))
    yield from ("--dtype", str(spec.dtype))
    if spec.quantisation != RunOptions.model_fields["quantize"].default:
        yield from ("--quantize", str(spec.quantisation))
    yield from _measured(record)
    yield "--save-adapters"


def _measured(record: CellRecord) -> Iterator[str]:
    """Yield what was measured, on which the calibration of some methods depends."""
    names = [found.task for found in record.forgetting]
    yield from ("--forgetting", ",".join(names) or "none")
    # `drift` has texts of its own, at most 32.
    limits = {found.limit for found in record.forgetting}
    if len(limits) == 1 and limits != {RunOptions.model_fields["forgetting_limit"].default}:
        yield from ("--forgetting-limit", str(limits.pop()))
    if record.evaluated:
        yield from ("--evaluate", ",".join(found.task for found in record.evaluated))
        yield from ("--evaluate-limit", str(record.evaluated[0].limit))
    if record.change is not None:
        yield "--explain"
