"""PiSSA: principal singular values and singular vectors adaptation."""

from __future__ import annotations

from dataclasses import dataclass

from methods.decomposition import principal_factors
from methods.lora_family import FactoredLora, Start
from methods.parts import Setting, adapter


@adapter("pissa")
@dataclass(frozen=True)
class Pissa(FactoredLora):
    """LoRA that starts from the largest singular directions of each weight.

    With the r largest of W = U S V^T it starts at B_0 = U_r sqrt(S_r / s) `[d_out, r]` and
    A_0 = sqrt(S_r / s) V_r^T `[r, d_in]`, and trains W' = W + s (B A - B_0 A_0). The directions are
    those of the smaller Gram matrix, which are found faster than an SVD. **exact**,
    arXiv 2404.02948.
    """

    paper = "2404.02948"
    learning_rate = 3e-4

    def prepare(self, setting: Setting) -> Start:
        """Decompose the untouched weight of every target."""
        return self.decompose(setting, lambda _, W: principal_factors(W, self.r, self.scale))
