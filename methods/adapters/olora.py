"""OLoRA: orthonormal low-rank adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.decomposition import Factors
from methods.lora_family import FactoredLora, Start
from methods.parts import Setting, adapter

if TYPE_CHECKING:
    from torch import Tensor


@adapter("olora")
@dataclass(frozen=True)
class OLora(FactoredLora):
    """LoRA that starts from a QR decomposition of each weight.

    With W = Q R it starts at B_0 = Q_r `[d_out, r]` and A_0 = R_r `[r, d_in]`, and trains
    W' = W + s (B A - B_0 A_0). **exact**, arXiv 2406.01775.
    """

    paper = "2406.01775"
    learning_rate = 2e-4

    def prepare(self, setting: Setting) -> Start:
        """Decompose the untouched weight of every target."""
        return self.decompose(setting, lambda _, W: self.factors(W))

    def factors(self, weight: Tensor) -> Factors:
        """Return Q_r and R_r of W `[d_out, d_in]`, computed in float64."""
        import torch

        Q, R = torch.linalg.qr(weight.double())
        return Factors(Q[:, : self.r].float().contiguous(), R[: self.r].float().contiguous())
