"""KeepLoRA, in the form that PEFT-Arena made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.decomposition import Factors
from methods.gradient_starts import FromGradient
from methods.lora_family import Start
from methods.parts import Setting, adapter
from methods.subspaces import leading_triplets
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


@adapter("keep_lora")
@dataclass(frozen=True)
class KeepLora(FromGradient):
    """LoRA along the gradient, where the weight itself has least; A is frozen.

    With V_k `[d_in, k]` the k largest right singular vectors of W and the mean gradient G, the r
    largest directions of G - G V_k V_k^T = U S V^T give A_0 = V_r^T `[r, d_in]`, frozen, and
    B_0 = U_r S_r `[d_out, r]`; W' = W + s B A. It is **not the base at the start**: B_0 A_0 adds
    the gradient, as PEFT-Arena's code does. **rebuilt**: exactly that adaptation of
    arXiv 2601.19659, whose own setting is a sequence of tasks.

    Attributes:
        principal: k, how many directions of W are left alone; none means 4r, as in that code.
    """

    principal: int | None = None

    certainty, paper = "rebuilt", "2601.19659"
    variants = "PEFT-Arena's adaptation, for one task"
    learning_rate, added, frozen = 1e-3, True, "A"
    starts_as_base = False
    trains = "B"

    def check(self) -> None:
        """Refuse values that no model can take."""
        super().check()
        if self.principal is not None and self.principal < 1:
            raise UsageError(f"principal={self.principal}: it must be at least 1; none means 4r")

    def prepare(self, setting: Setting) -> Start:
        """Measure the mean gradients on the training facts and decompose what W leaves of them."""
        return self.from_gradients(setting, self.factors)

    def factors(self, gradient: Tensor, weight: Tensor) -> Factors:
        """Return B_0 and A_0 from G and W, both `[d_out, d_in]`."""
        kept, G = leading_triplets(weight, self.principal or 4 * self.r).V, gradient.double()
        if kept.shape[0] == kept.shape[1]:
            raise UsageError(
                f"keep_lora: principal={kept.shape[1]} leaves no direction of W's rows"
            )
        U, S, V = leading_triplets(G - (G @ kept) @ kept.T, self.r)
        return Factors((U * S).float().contiguous(), V.T.float().contiguous())
