"""Write a saved adapter in the form that another program loads, and tell how to load it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from bench.models.registry import resolve_model
from bench.models.shape import config_folder
from bench.publishing.bases import base_name
from bench.publishing.card import write_card
from bench.publishing.card_content import stored_content
from bench.publishing.folders import new_folder
from bench.publishing.saved import CARD, SavedAdapter
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

GGUF_FILE = "adapter.gguf"

SAME = 1e-5
"""Largest difference of a weight's change, as a share of its size, that float32 explains."""


class AdapterFormat(StrEnum):
    """What an adapter is written as."""

    PEFT = "peft"
    VLLM = "vllm"
    GGUF = "gguf"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: Where it lies.
        rank: Of the LoRA; 0 where nothing is known of it.
        command: What loads it.
    """

    folder: Path
    rank: int
    command: str


def export_saved(results: Path, saved: SavedAdapter, folder: Path, form: AdapterFormat) -> Exported:
    """Write an adapter for another program.

    Args:
        results: The results folder.
        saved: The adapter.
        folder: Where to write; it must not exist, or be empty.
        form: What to write.

    Raises:
        UsageError: The adapter has no such form; the error says what to do instead.
    """
    from bench.publishing.plain_lora import refuse_other_forms  # it needs no torch as yet

    if form is not AdapterFormat.PEFT:
        refuse_other_forms(saved, "vLLM" if form is AdapterFormat.VLLM else "llama.cpp")
    elif saved.holds_all_weights:
        raise UsageError(
            f"cell {saved.record.cell_id[:12]} ({saved.spec.method}) has saved all weights, not an "
            "adapter: write the model with 'merge'"
        )
    with new_folder(folder) as staged:
        write = {
            AdapterFormat.PEFT: _peft,
            AdapterFormat.VLLM: _vllm,
            AdapterFormat.GGUF: _gguf,
        }[form]
        rank, command = write(saved, staged, folder)
        write_card(stored_content(results, saved, where=folder.name), staged)
    return Exported(folder, rank, command)


def _peft(saved: SavedAdapter, staged: Path, folder: Path) -> tuple[int, str]:
    shutil.copytree(
        saved.folder, staged, dirs_exist_ok=True, ignore=shutil.ignore_patterns(CARD, ".*")
    )
    return int(saved.config.get("r") or 0), f'PeftModel.from_pretrained(base, "{folder}")'


def _vllm(saved: SavedAdapter, staged: Path, folder: Path) -> tuple[int, str]:
    from bench.publishing.plain_lora import plain_lora, vllm_rank, write_vllm
    from methods.two_steps.saved import scaled_factors

    lora = plain_lora(saved.folder)
    most = vllm_rank(lora.rank)
    base = base_name(saved.spec)
    write_vllm(lora, saved, staged, base.repository or base.name)
    _refuse_other_change(scaled_factors(staged), scaled_factors(saved.folder))
    # The weights that were trained on, where they are here; else others of the same name.
    local = config_folder(resolve_model(saved.spec.model))
    served = base.repository if base.kind == "hub" or local is None else str(local)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", saved.spec.method).strip("-")
    return lora.rank, (
        f"vllm serve {served} --enable-lora --max-lora-rank {most} "
        f"--lora-modules {name}={folder.absolute()}"
    )


def _gguf(saved: SavedAdapter, staged: Path, folder: Path) -> tuple[int, str]:
    from bench.publishing.gguf_lora import base_config, write_gguf
    from bench.publishing.plain_lora import plain_lora

    config = base_config(saved.spec.model)
    lora = plain_lora(saved.folder)
    name = f"{saved.spec.method} on {Path(saved.spec.task).name}"
    write_gguf(lora, config, staged / GGUF_FILE, name)
    return lora.rank, f"llama-server -m BASE.gguf --lora {folder.absolute() / GGUF_FILE}"


Factors = Mapping[str, tuple["Tensor", "Tensor"]]


def _refuse_other_change(written: Factors, saved: Factors) -> None:
    """Refuse files whose s B A are not those of the adapter.

    Raises:
        UsageError: They are not.
    """
    import torch

    for name, (A, B) in saved.items():
        expected = B.float() @ A.float()
        down, up = written[name]
        if not torch.dist(up @ down, expected) <= SAME * expected.norm():
            raise UsageError(f"the files that were written change '{name}' otherwise; report this")
