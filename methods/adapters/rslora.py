"""rsLoRA: rank-stabilised LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from methods.lora_family import LoraFamily
from methods.parts import adapter


@adapter("rslora")
@dataclass(frozen=True)
class RsLora(LoraFamily):
    """LoRA with the scale alpha / sqrt(r), meant for large ranks.

    W' = W + s B A with s = alpha / sqrt(r), B `[d_out, r]` and A `[r, d_in]`. **exact**,
    arXiv 2312.03732.
    """

    paper = "2312.03732"
    learning_rate = 5e-4
    options = MappingProxyType({"use_rslora": True})
