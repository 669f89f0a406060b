"""MiCA: minor component adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.decomposition import Factors
from methods.lora_family import FactoredLora, Start
from methods.parts import Setting, adapter
from methods.subspaces import End, left_subspace

if TYPE_CHECKING:
    from torch import Tensor


@adapter("mica")
@dataclass(frozen=True)
class Mica(FactoredLora):
    """LoRA whose B stays at the smallest singular directions of each weight.

    With the r smallest of W = U S V^T it starts at B = U_r `[d_out, r]`, which is not trained, and
    A = 0 `[r, d_in]`: half the parameters of LoRA, or nearly so. **exact**, arXiv 2604.01694: a
    test compares it with PEFT's `init_lora_weights="mica"`, which finds the same by a full SVD.
    """

    paper = "2604.01694"
    learning_rate = 1e-3
    frozen = "B"

    def prepare(self, setting: Setting) -> Start:
        """Decompose the untouched weight of every target."""
        return self.decompose(setting, lambda _, W: self.factors(W))

    def factors(self, weight: Tensor) -> Factors:
        """Return U_r of W `[d_out, d_in]` and zeros."""
        rank = min(self.r, *weight.shape)
        found = left_subspace(weight.double(), rank, End.SMALLEST)
        A = found.U.new_zeros(rank, weight.shape[1]).float()
        return Factors(found.U.float().contiguous(), A, condition=found.condition)
