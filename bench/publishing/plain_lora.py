"""Adapters that are W + s B A and nothing else, in the one form that every server reads.

vLLM and llama.cpp know one rank and one scale for a whole adapter. PEFT may have others for some
layers, which they would not see. So the scale goes into B, and smaller ranks are filled with zeros:
every layer has rank R and alpha = R, that is a scale of 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.publishing.saved import SavedAdapter
from methods.peft_config import is_prompt_type, read_config
from methods.two_steps.saved import is_plain, scaled_factors
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "base_model.model."
"""Stands before the names of layers in PEFT's files."""

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What `--max-lora-rank` may be: `MaxLoRARanks` in vllm/config/lora.py."""


@dataclass(frozen=True)
class PlainLora:
    """A LoRA of one rank and scale 1.

    Attributes:
        rank: R.
        factors: A `[R, d_in]` and B `[d_out, R]`, float32, by the names of layers in the base.
    """

    rank: int
    factors: Mapping[str, tuple[Tensor, Tensor]]


def refuse_other_forms(saved: SavedAdapter, reader: str) -> None:
    """Refuse what no plain LoRA can hold.

    Args:
        saved: The adapter.
        reader: The program that is to read it.

    Raises:
        UsageError: It is something else; the error says what to do instead.
    """
    named = f"cell {saved.record.cell_id[:12]} ({saved.spec.method})"
    if saved.holds_all_weights:
        raise UsageError(
            f"{named} has saved all weights, not an adapter: write the whole model with "
            f"'merge', which {reader} loads as any other"
        )
    if is_prompt_type(read_config(str(saved.folder))):
        raise UsageError(
            f"{named} trains a prompt, not weights: {reader} cannot load it, and there is nothing "
            "to merge; use it with PEFT"
        )
    if not is_plain(saved.folder):
        raise UsageError(
            f"{named} is not W + s B A alone, which is all that {reader} loads: write the whole "
            "model with 'merge' instead"
        )


def plain_lora(folder: Path) -> PlainLora:
    """Read a saved adapter that `refuse_other_forms` accepts."""
    import torch

    found = scaled_factors(folder)
    rank = max(len(A) for A, _ in found.values())

    def filled(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        more = rank - len(A)
        down = torch.cat([A.float(), A.new_zeros(more, A.shape[1]).float()])
        return down, torch.cat([B.float(), B.new_zeros(len(B), more).float()], dim=1)

    return PlainLora(rank, {name: filled(A, B) for name, (A, B) in found.items()})


def vllm_rank(rank: int) -> int:
    """Return the least `--max-lora-rank` for an adapter.

    Raises:
        UsageError: There is none.
    """
    fitting = [allowed for allowed in VLLM_RANKS if allowed >= rank]
    if not fitting:
        raise UsageError(
            f"vLLM loads adapters up to rank {VLLM_RANKS[-1]}, and this one has {rank}: write the "
            "whole model with 'merge' instead"
        )
    return fitting[0]


def write_vllm(lora: PlainLora, saved: SavedAdapter, folder: Path, base: str) -> None:
    """Write a plain LoRA as PEFT's files, which vLLM reads.

    Args:
        lora: The adapter.
        saved: Where it comes from.
        folder: Where to write; it exists.
        base: What the files call the base.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file

    config: Any = LoraConfig.from_pretrained(str(saved.folder))  # the same layers, by its names
    config.base_model_name_or_path = base
    config.r = config.lora_alpha = lora.rank
    config.rank_pattern, config.alpha_pattern = {}, {}
    config.use_rslora, config.lora_dropout = False, 0.0
    config.init_lora_weights, config.inference_mode = True, True
    config.save_pretrained(str(folder))
    state = {}
    for name, (A, B) in lora.factors.items():
        state[f"{PREFIX}{name}.lora_A.weight"] = A.contiguous()
        state[f"{PREFIX}{name}.lora_B.weight"] = B.contiguous()
    save_file(state, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
