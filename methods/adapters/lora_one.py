"""LoRA-One: one step of full fine-tuning is where LoRA starts."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from methods.decomposition import Factors
from methods.gradient_starts import FromGradient
from methods.lora_family import Start
from methods.parts import Setting, adapter
from methods.subspaces import leading_triplets

if TYPE_CHECKING:
    from torch import Tensor

GAMMA = 128


@adapter("lora_one")
@dataclass(frozen=True)
class LoraOne(FromGradient):
    """LoRA that begins with a step against the gradient, and goes on from there.

    With the mean gradient G of each weight and SVD(-G) = U S V^T it starts at
    B_0 = U_r sqrt(S_r / S_1) / sqrt(128) `[d_out, r]` and A_0 = sqrt(S_r / S_1) V_r^T / sqrt(128)
    `[r, d_in]`, and trains W' = W + s B A with s = alpha / sqrt(r). It is **not the base at the
    start**. Its code averages 8 rows, here `samples` facts, and the preconditioner of the paper is
    left out, as in its code. **exact**, arXiv 2502.01235.
    """

    paper, learning_rate, added = "2502.01235", 5e-4, True
    starts_as_base = False
    options = MappingProxyType({"use_rslora": True})

    def prepare(self, setting: Setting) -> Start:
        """Measure the mean gradients on the training facts and decompose them."""
        return self.from_gradients(setting, lambda G, W: self.factors(G))

    def factors(self, gradient: Tensor) -> Factors:
        """Return B_0 and A_0 from the mean gradient `[d_out, d_in]`."""
        import torch

        U, S, V = leading_triplets(-gradient, self.r)
        size = (S / (GAMMA * S[0].clamp(min=torch.finfo(S.dtype).tiny))).sqrt()
        return Factors((U * size).float().contiguous(), (V * size).T.float().contiguous())
