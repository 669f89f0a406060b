"""Rank-stabilised LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from methods.lora_family import LoraFamily
from methods.parts import adapter


@adapter("rslora")
@dataclass(frozen=True)
class RsLora(LoraFamily):
    """W + s B A with s = alpha / sqrt(r), B `[d_out, r]`, A `[r, d_in]`. **exact**, 2312.03732."""

    paper = "2312.03732"
    learning_rate = 5e-4
    options = MappingProxyType({"use_rslora": True})
