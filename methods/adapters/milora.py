"""MiLoRA: minor singular component adaptation."""

from __future__ import annotations

from dataclasses import dataclass

from methods.decomposition import minor_factors
from methods.lora_family import FactoredLora, Start
from methods.parts import Setting, adapter


@adapter("milora")
@dataclass(frozen=True)
class MiLora(FactoredLora):
    """LoRA that starts from the smallest singular directions of each weight.

    With the r smallest of W = U S V^T it starts at B_0 = U_r sqrt(S_r / s) `[d_out, r]` and
    A_0 = sqrt(S_r / s) V_r^T `[r, d_in]`, and trains W' = W + s (B A - B_0 A_0). Null directions,
    whose singular value is 0, are left out. **exact** up to scale, arXiv 2406.09044.
    """

    paper = "2406.09044"
    learning_rate = 1e-3

    def prepare(self, setting: Setting) -> Start:
        """Decompose the untouched weight of every target."""
        return self.decompose(setting, lambda _, W: minor_factors(W, self.r, self.scale))
