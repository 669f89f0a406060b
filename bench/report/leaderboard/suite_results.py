"""Results of PEFT's method comparison, read to stand beside ours and never among them.

A file has one seed, no answers per fact and, usually, another model and another task, so that
nothing of ours can be paired with it. Its form is described in `bench.interchange.peft_suite`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report.leaderboard.board import Section
from tasks.errors import UsageError

OWN_BLOCK = "semantic_peft_bench"
"""A key of files that this program exported."""


@dataclass(frozen=True, slots=True)
class SuiteRow:
    """One result; what its file does not say is None.

    Attributes:
        experiment: Its name, as in `lora/llama-3.2-3B-rank32`.
        model: The base.
        data: The names of its data sets.
        seed: Its one seed.
        accuracy: On the test set, a share.
        forgetting: The rise of the loss on other texts, in nats per token.
        parameters: Trained ones.
        seconds: Of training.
        peak_bytes: Of accelerator memory.
        cell: The id of the cell that this program exported it from; empty for others.
    """

    experiment: str
    model: str
    data: tuple[str, ...]
    seed: int | None
    accuracy: float | None
    forgetting: float | None
    parameters: int | None
    seconds: float | None
    peak_bytes: int | None
    cell: str = ""

    def lacks(self, sections: Collection[Section]) -> list[str]:
        """Return why it cannot be compared with the rows of sections."""
        models, tasks = ({getattr(s, name) for s in sections} for name in ("model", "task"))
        return [
            "one seed",
            "no answers per fact",
            *(["other model"] if self.model not in models else []),
            *(["other task"] if not tasks & {*self.data} else []),
        ]


@dataclass(frozen=True, slots=True)
class SuiteResults:
    """The results of a folder, best first within a model, and a line for each unreadable file."""

    folder: Path
    rows: tuple[SuiteRow, ...]
    problems: tuple[str, ...]


def read_suite_results(folder: Path) -> SuiteResults:
    """Read all results of a folder.

    Args:
        folder: It holds JSON files, as `method_comparison/MetaMathQA/results` of huggingface/peft.

    Raises:
        UsageError: There is no such folder, or no JSON file in it.
    """
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        raise UsageError(
            f"--with '{folder}': no JSON files there; give a folder such as "
            "method_comparison/MetaMathQA/results of huggingface/peft"
        )
    rows, problems = [], []
    for file in files:
        try:
            rows.append(_row(json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
            why = str(error) if isinstance(error, _WrongFileError) else "not a readable JSON file"
            problems.append(f"{file}: {why}")
    rows.sort(key=lambda row: (row.model, -(row.accuracy or 0.0), row.experiment))
    return SuiteResults(folder, tuple(rows), tuple(problems))


class _WrongFileError(ValueError):
    """A JSON file that is no result; its text says why."""


def _row(content: Any) -> SuiteRow:
    run, train, meta = (_part(content, name) for name in ("run_info", "train_info", "meta_info"))
    if train.get("status") != "success":
        raise _WrongFileError(f"its status is '{train.get('status')}', not success")
    metrics = train.get("metrics")
    last = metrics[-1] if isinstance(metrics, list) and metrics else None
    if not isinstance(last, dict) or "test accuracy" not in last:
        raise _WrongFileError("no result of a language task: it has no 'test accuracy' at the end")
    config = _part(run, "train_config")
    own = content.get(OWN_BLOCK)
    seed = _number(config.get("seed"), -math.inf)
    return SuiteRow(
        experiment=str(run.get("experiment_name", "")),
        model=str(config.get("model_id", "")),
        data=tuple(map(str, meta.get("dataset_info") or ())),
        seed=None if seed is None else int(seed),
        accuracy=_number(last["test accuracy"]),
        forgetting=_number(last.get("forgetting"), -math.inf),
        parameters=_whole(train.get("num_trainable_params")),
        seconds=_number(train.get("train_time")),
        peak_bytes=_whole(train.get("accelerator_memory_max")),
        cell=str(own.get("cell_id", "")) if isinstance(own, dict) else "",
    )


def _part(content: Any, name: str) -> Mapping[str, Any]:
    found = content.get(name) if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise _WrongFileError(f"no result of PEFT's method comparison: it has no {name}")
    return found


def _number(value: Any, least: float = 0.0) -> float | None:
    """Return a number; None for what is none, and below what it can be: a placeholder."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if value >= least else None


def _whole(value: Any) -> int | None:
    found = _number(value)
    return None if found is None else int(found)
