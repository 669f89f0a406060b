"""OLoRA: an orthonormal start."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from methods.lora_family import CutLora
from methods.parts import adapter


@adapter("olora")
@dataclass(frozen=True)
class OLora(CutLora):
    """W = Q R; B = Q_r `[d_out, r]`, A = R_r `[r, d_in]`, base W - s B A. **exact**, 2406.01775."""

    paper = "2406.01775"
    learning_rate = 2e-4
    options = MappingProxyType({"init_lora_weights": "olora"})
