"""LoRA."""

from __future__ import annotations

from dataclasses import dataclass

from methods.lora_family import LoraFamily
from methods.parts import adapter


@adapter("lora")
@dataclass(frozen=True)
class Lora(LoraFamily):
    """W + s B A with s = alpha / r, B = 0 `[d_out, r]`, A `[r, d_in]`. **exact**, 2106.09685."""

    paper = "2106.09685"
    learning_rate = 1e-3
