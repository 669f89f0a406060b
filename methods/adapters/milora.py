"""MiLoRA: minor singular values and vectors."""

from __future__ import annotations

from dataclasses import dataclass

from methods.decomposition import minor_factors
from methods.lora_family import FactoredLora, Start
from methods.parts import Setting, adapter


@adapter("milora")
@dataclass(frozen=True)
class MiLora(FactoredLora):
    """The smallest r of W = U S V^T are trained. **exact** up to scale, 2406.09044.

    B = U_r sqrt(S_r / s) `[d_out, r]`, A = sqrt(S_r / s) V_r^T `[r, d_in]`, base W - s B A; null
    directions do not count as smallest.
    """

    paper = "2406.09044"
    learning_rate = 1e-3

    def prepare(self, setting: Setting) -> Start:
        """Decompose the pristine weight of every target."""
        return self.decompose(setting, lambda _, W: minor_factors(W, self.r, self.scale))
