"""OLoRA: orthonormal low-rank adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from methods.lora_family import CutLora
from methods.parts import adapter


@adapter("olora")
@dataclass(frozen=True)
class OLora(CutLora):
    """LoRA that starts from a QR decomposition of each weight.

    With W = Q R it starts at B = Q_r `[d_out, r]` and A = R_r `[r, d_in]`; the base keeps
    W - s B A. **exact**, arXiv 2406.01775.
    """

    paper = "2406.01775"
    learning_rate = 2e-4
    options = MappingProxyType({"init_lora_weights": "olora"})
