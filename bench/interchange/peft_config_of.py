"""The configuration of PEFT that a stored cell had, as far as it can be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.store.records import CellRecord
from methods.adapters.full import Full
from methods.adapters.osf import Osf
from methods.adapters.peft import Peft
from methods.lora_family import LoraFamily
from methods.parts import Adapter
from methods.peft_config import read_config
from methods.recipe import parse_recipe
from tasks.errors import UsageError


def adapter_of(record: CellRecord) -> Adapter | None:
    """Return a cell's adapter; None where its part, or a file that it names, is gone."""
    try:
        return parse_recipe(record.spec.recipe).adapter
    except UsageError:
        return None


def peft_config(record: CellRecord, results: Path) -> dict[str, Any] | None:
    """Return a cell's configuration; None for full fine-tuning, which has none.

    That of a saved adapter is whole. Else it holds what the recipe says, and null where only the
    model could tell.

    Args:
        record: The cell.
        results: Its results folder.
    """
    saved = results / record.adapter_path / "adapter_config.json"
    if record.adapter_path and saved.is_file():
        content: dict[str, Any] = json.loads(saved.read_text(encoding="utf-8"))
        return content
    adapter = adapter_of(record)
    if isinstance(adapter, Full):
        return None
    common = {"task_type": "CAUSAL_LM", "base_model_name_or_path": record.spec.model}
    if isinstance(adapter, Peft):
        return {**common, **read_config(adapter.path).values}
    if isinstance(adapter, LoraFamily):
        return {**common, **_of_lora(adapter, record)}
    return {**common, "peft_type": "OSF" if isinstance(adapter, Osf) else None}


def _of_lora(adapter: LoraFamily, record: CellRecord) -> dict[str, Any]:
    layers = record.notes.get("layers")
    return {
        "peft_type": "LORA",
        "r": adapter.r,
        "lora_alpha": adapter.alpha or adapter.r,
        "lora_dropout": adapter.dropout,
        "use_dora": bool(adapter.options.get("use_dora")),
        "use_rslora": bool(adapter.options.get("use_rslora")),
        "target_modules": None,
        **({"layers_to_transform": layers} if isinstance(layers, list) else {}),
    }
