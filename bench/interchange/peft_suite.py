"""A cell in the form in which PEFT's method comparison stores a result.

The form is that of `log_results` in `method_comparison/MetaMathQA/utils.py` of huggingface/peft,
read at commit 5d602fdbf. What a record does not hold is null, and named in the list
`semantic_peft_bench.unknown`; where a number is another quantity than PEFT's of that name,
`semantic_peft_bench.differs` says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.interchange.peft_run import OWN_BLOCK, run_info, train_info
from bench.store.records import CellRecord

FORM_VERSION = 1

NO_NUMBER = frozenset({"run_info.train_config.lr_scheduler", "run_info.peft_config"})
"""Fields in which null is a value: a constant rate, full fine-tuning."""

INTEGERS = frozenset(
    {
        "train_info.accelerator_memory_reserved_avg",
        "train_info.accelerator_memory_max",
        "train_info.accelerator_memory_reserved_99th",
        "train_info.file_size",
        "train_info.num_trainable_params",
        "train_info.metrics[last].train total tokens",
        "train_info.metrics[last].train samples",
    }
)
"""Fields that PEFT's `processing.py` turns into integers, which fails for null."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """A result in PEFT's form.

    Attributes:
        file_name: As PEFT names it: the experiment with `--` for its slash.
        content: The JSON.
    """

    file_name: str
    content: dict[str, Any]

    @property
    def unknown(self) -> list[str]:
        """The fields that are null because a record does not hold them."""
        found: list[str] = self.content[OWN_BLOCK]["unknown"]
        return found


def suite_result(record: CellRecord, results: Path, placeholder: int | None = None) -> SuiteResult:
    """Return a cell in PEFT's form.

    Args:
        record: The cell.
        results: Its results folder, in which a saved adapter may lie.
        placeholder: Stands in place of null in `INTEGERS`, so that PEFT's loader reads the file;
            these fields are listed as unknown all the same.
    """
    differs: dict[str, str] = {}
    content: dict[str, Any] = {
        "run_info": run_info(record, results, differs),
        "train_info": train_info(record, results, differs),
        "meta_info": _meta_info(record),
    }
    unknown = sorted({path for path, value in leaves(content) if value is None} - NO_NUMBER)
    if placeholder is not None:
        _fill(content, placeholder)
    content[OWN_BLOCK] = _own(record, unknown, differs, placeholder)
    name: str = content["run_info"]["experiment_name"]
    return SuiteResult(f"{name.replace('/', '--')}.json", content)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value with its path; those of a list are `[step]`, but for the `[last]`."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from leaves(member, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for member in value[:-1]:
            yield from leaves(member, f"{path}[step]")
        yield from leaves(value[-1], f"{path}[last]")
    else:
        yield path, value


def _fill(content: dict[str, Any], placeholder: int) -> None:
    train: dict[str, Any] = content["train_info"]
    for path in INTEGERS:
        head, _, key = path.removeprefix("train_info.").rpartition(".")
        owner = train if not head else train["metrics"][-1] if train["metrics"] else {}
        if key in owner and owner[key] is None:
            owner[key] = placeholder


def _meta_info(record: CellRecord) -> dict[str, Any]:
    provenance = record.provenance
    versions: Mapping[str, str] = provenance.get("packages", {})
    packages = ("transformers", "peft", "datasets", "bitsandbytes", "torch")
    revision = record.spec.model_revision
    on_gpu = str(provenance.get("device", "")).startswith("cuda")
    return {
        "model_info": {
            "sha": revision if _COMMIT.fullmatch(revision) else None,
            "created_at": None,
        },
        "dataset_info": {record.spec.task: {"sha": None, "created_at": None}},
        "package_info": {
            key: value
            for name in packages
            for key, value in (
                (f"{name}-version", versions.get(name) or None),
                (f"{name}-commit-hash", None),
            )
        },
        "system_info": {
            "system": str(provenance.get("platform", "")).partition("-")[0] or None,
            **dict.fromkeys(("release", "version", "machine", "processor")),
            "accelerator": (provenance.get("device_name") or None) if on_gpu else None,
        },
        "pytorch_info": None,
    }


def _own(
    record: CellRecord, unknown: list[str], differs: dict[str, str], placeholder: int | None
) -> dict[str, Any]:
    """Return what PEFT's form has no place for, and what is not as it is there."""
    measured = record.metrics.model_dump() if record.metrics else {}
    return {
        "form": FORM_VERSION,
        "cell_id": record.cell_id,
        "spec": record.spec.model_dump(mode="json"),
        "metrics": {name: value for name, value in measured.items() if value is not None},
        "forgetting": [
            one.model_dump(mode="json", exclude={"base_items", "tuned_items"})
            for one in record.forgetting
        ],
        "evaluated": [
            one.model_dump(mode="json", exclude={"base_items", "tuned_items"})
            for one in record.evaluated
        ],
        "device": record.provenance.get("device_name"),
        "unknown": unknown,
        "placeholder": placeholder,
        "differs": dict(sorted(differs.items())),
    }
