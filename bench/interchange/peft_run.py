"""How a cell was run and what it gave, under the names of PEFT's method comparison."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from bench.config.types import Quantisation, Schedule
from bench.interchange.peft_config_of import adapter_of, peft_config
from bench.store.asks import Asks
from bench.store.records import CellRecord, PhaseName, Status
from methods.adapters.full import Full
from methods.lora_family import LoraFamily

OWN_BLOCK = "semantic_peft_bench"
"""The key of what PEFT's form has no place for."""

_STATUS = {Status.DONE: "success", Status.INTERRUPTED: "canceled"}
_METAMATH = "metamath"
_GSM8K = "gsm8k"


def run_info(record: CellRecord, results: Path, differs: dict[str, str]) -> dict[str, Any]:
    """Return how a cell was run.

    Args:
        record: The cell.
        results: Its results folder.
        differs: Filled with what is another quantity than PEFT's, by field.
    """
    spec = record.spec
    differs["run_info.created_at"] = "when the cell finished; PEFT's is when it was started"
    differs["run_info.total_time"] = "the cell's phases together, without loading the model"
    phases = record.phases.values()
    return {
        "created_at": record.provenance.get("finished"),
        "total_time": sum(phase.seconds for phase in phases) if phases else None,
        "experiment_name": _experiment(record),
        "peft_branch": None,
        "peft_worktree_is_dirty": None,
        "train_config": {
            "model_id": spec.model,
            "dtype": _dtype(record),
            "max_seq_length": None,
            "batch_size": spec.batch_size,
            "batch_size_eval": None,
            "max_steps": _steps(record, spec.epochs),
            "eval_steps": _steps(record, 1),
            "compile": None,
            "use_gc": None,
            "query_template": None,
            "seed": spec.seed,
            "grad_norm_clip": _of_optimizer(spec.optimizer, "clip"),
            "optimizer_type": "AdamW" if spec.optimizer.startswith("adamw") else None,
            "optimizer_kwargs": {
                "lr": spec.learning_rate,
                "weight_decay": _of_optimizer(spec.optimizer, "weight_decay"),
            },
            "lr_scheduler": None if spec.schedule is Schedule.CONSTANT else str(spec.schedule),
            "use_amp": None,
            "autocast_adapter_dtype": None,
            "generation_kwargs": None,
            "attn_implementation": None,
            "init_kv_cache_prefix": None,
        },
        "peft_config": peft_config(record, results),
        "error_msg": record.reason,
    }


def _experiment(record: CellRecord) -> str:
    """Name the experiment as PEFT does, method before the slash; the cell id makes it unique."""
    spec = record.spec
    details = f"{spec.model}-{spec.task}-seed{spec.seed}-{record.cell_id[:8]}"
    return "/".join(re.sub(r"[^A-Za-z0-9._+-]+", "-", t).strip("-") for t in (spec.method, details))


def _dtype(record: CellRecord) -> str:
    quantised = {Quantisation.FOUR_BITS: "int4", Quantisation.EIGHT_BITS: "int8"}
    return quantised.get(record.spec.quantisation, str(record.spec.dtype))


def _of_optimizer(written: str, name: str) -> float | None:
    found = re.search(rf"\b{name}=([0-9.e+-]+)", written)
    return float(found[1]) if found else None


def _kept(record: CellRecord) -> int | None:
    """Return how many facts or examples are trained in an epoch; None where that is not said."""
    kept = record.notes.get("kept")
    of_texts = record.asks in (Asks.QUESTIONS, Asks.TRAINED_QUESTIONS)  # packed into windows
    return None if not isinstance(kept, int) or of_texts or record.spec.replay_digest else kept


def _steps(record: CellRecord, epochs: int) -> int | None:
    """Return the optimizer steps of some epochs, as `Plan.steps` counts them."""
    kept, spec = _kept(record), record.spec
    if kept is None:
        return None
    return math.ceil(math.ceil(kept / spec.batch_size) / spec.accumulation) * epochs


def train_info(record: CellRecord, results: Path, differs: dict[str, str]) -> dict[str, Any]:
    """Return what a cell's training took and gave; for the arguments see `run_info`."""
    train = record.phases.get(PhaseName.TRAIN)
    return {
        "accelerator_memory_reserved_avg": None,
        "accelerator_memory_max": _memory(record, differs),
        "accelerator_memory_reserved_99th": None,
        "train_time": train.seconds if train else None,
        "file_size": _file_size(record, results),
        "num_trainable_params": record.parameters,
        "num_total_params": _all_parameters(record),
        "status": _STATUS.get(record.status, "failed"),
        "metrics": _metrics(record, differs) if record.status is Status.DONE else [],
    }


def _memory(record: CellRecord, differs: dict[str, str]) -> int | None:
    """Return the peak on a GPU; on a CPU there is no accelerator, and beside others no own peak."""
    on_gpu = str(record.provenance.get("device", "")).startswith("cuda")
    if not on_gpu or record.stacked > 1 or not record.phases:
        return None
    differs["train_info.accelerator_memory_max"] = (
        "the peak of allocated memory in any phase; PEFT's is of reserved memory, without what was "
        "reserved before"
    )
    return max(phase.peak_bytes for phase in record.phases.values())


def _file_size(record: CellRecord, results: Path) -> int | None:
    saved = results / record.adapter_path / "adapter_model.safetensors"
    return saved.stat().st_size if record.adapter_path and saved.is_file() else None


def _all_parameters(record: CellRecord) -> int | None:
    """Return the parameters of the base and the adapter, which PEFT counts together.

    A record counts the trained ones, so they are known only where an adapter has no others.
    """
    adapter = adapter_of(record)
    if record.parameters is None or record.parameters_total is None:
        return None
    if isinstance(adapter, Full):
        return record.parameters_total
    if isinstance(adapter, LoraFamily) and not adapter.frozen:
        return record.parameters_total + record.parameters
    return None


def _metrics(record: CellRecord, differs: dict[str, str]) -> list[dict[str, Any]]:
    """Return the points of the learning curve and, last, what was measured at the end."""
    names = ("train time", "eval time", "tokens / sec", "mem allocated avg", "mem reserved avg")
    kept = _kept(record)
    curve: list[dict[str, Any]] = [
        {
            "step": _steps(record, point.epoch),
            "valid accuracy": None,
            "train loss": point.loss,
            "train samples": kept * point.epoch if kept is not None else None,
            **dict.fromkeys(names),
            "elapsed time": None,
        }
        for point in record.curve
    ]
    accuracy, differs["train_info.metrics[last].test accuracy"] = _accuracy(record)
    differs["train_info.metrics[last].train loss"] = "the mean over the last epoch"
    differs["train_info.metrics[last].forgetting"] = (
        "not measured: PEFT's is the rise of the loss on texts of Wikipedia; what this program "
        f"measures instead is in {OWN_BLOCK}.forgetting"
    )
    last: dict[str, Any] = {
        "step": _steps(record, record.spec.epochs),
        "test accuracy": accuracy,
        "train loss": record.curve[-1].loss if record.curve else None,
        "train samples": kept * record.spec.epochs if kept is not None else None,
        "train total tokens": None,
        "forgetting": None,
    }
    return [*curve, last]


def _accuracy(record: CellRecord) -> tuple[float | None, str]:
    """Return the accuracy and what it is of: GSM8K's for MetaMath, as in PEFT's suite."""
    spec = record.spec
    if spec.task.startswith(_METAMATH):
        for measured in record.evaluated:
            if measured.task.endswith(_GSM8K):
                problems = len(measured.tuned_items)
                return measured.tuned, f"{measured.metric} of {problems} problems of GSM8K"
    asks = (record.asks or (Asks.PROBLEMS if spec.lessons else Asks.FACTS)).items
    what = f"reliability: the share of {spec.facts} {asks} of {spec.task} answered as trained"
    return (record.metrics.reliability if record.metrics else None), what
