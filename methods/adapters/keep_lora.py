"""KeepLoRA: residual gradient adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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
    largest directions of G - G V_k V_k^T = U S V^T give A = V_r^T `[r, d_in]`, which stays as it
    is; B = 0. That is the authors' code for one task. With `form=arena`, PEFT-Arena's adaptation,
    B_0 = U_r S_r `[d_out, r]` instead: that adds the gradient to W, so that the model is **not the
    base at the start** and its loss is higher. **rebuilt**, arXiv 2601.19659: a sequence of tasks
    is the paper's setting, and how its authors choose k was not read.

    Attributes:
        principal: k, how many directions of W are left alone; none means 4r, as in PEFT-Arena,
            or half of d_in if that is less. Where less than r are left, the rank is their number.
        form: `paper` or `arena`.
    """

    principal: int | None = None
    form: Literal["paper", "arena"] = "paper"

    certainty, paper = "rebuilt", "2601.19659"
    variants = "form=arena is PEFT-Arena's, which is not the base at the start"
    learning_rate, added, frozen = 1e-3, True, "A"
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
        k = self.principal or min(4 * self.r, weight.shape[1] // 2)
        kept, G = leading_triplets(weight, k).V, gradient.double()
        left = len(kept) - kept.shape[1]
        if not left:
            raise UsageError(
                f"keep_lora: principal={kept.shape[1]} leaves no direction of W's rows; give less"
            )
        # From the next direction on, an SVD of the rest would return those that are kept.
        U, S, V = leading_triplets(G - (G @ kept) @ kept.T, min(self.r, left))
        B = U * S if self.form == "arena" else 0 * U
        return Factors(B.float().contiguous(), V.T.float().contiguous())
