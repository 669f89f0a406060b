"""PiSSA: principal singular values and vectors."""

from __future__ import annotations

from dataclasses import dataclass

from methods.decomposition import principal_factors
from methods.lora_family import FactoredLora, Start
from methods.parts import Setting, adapter


@adapter("pissa")
@dataclass(frozen=True)
class Pissa(FactoredLora):
    """The largest r of W = U S V^T are trained. **exact**, 2404.02948.

    B = U_r sqrt(S_r / s) `[d_out, r]`, A = sqrt(S_r / s) V_r^T `[r, d_in]`, base W - s B A. From an
    eigendecomposition of the smaller Gram matrix instead of the SVD.
    """

    paper = "2404.02948"
    learning_rate = 3e-4

    def prepare(self, setting: Setting) -> Start:
        """Decompose the pristine weight of every target."""
        return self.decompose(setting, lambda _, W: principal_factors(W, self.r, self.scale))
