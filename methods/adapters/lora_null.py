"""LoRA-Null: LoRA in the null space of what a model knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.calibrated import CalibratedLora
from methods.decomposition import Factors
from methods.parts import adapter
from methods.projections import eigenvectors, null_factors, right_factors
from methods.subspaces import End

if TYPE_CHECKING:
    from torch import Tensor

    from methods.covariance import Covariances


@adapter("lora_null")
@dataclass(frozen=True)
class LoraNull(CalibratedLora):
    """LoRA that starts where the inputs of known facts hardly reach.

    With Q `[d_in, r]` the eigenvectors of C for its r smallest eigenvalues and W Q Q^T = U S V^T,
    it starts at B_0 = U sqrt(S / s) and A_0 = sqrt(S / s) V^T, and trains
    W' = W + s (B A - B_0 A_0). C is that of `corda`; the paper has 256 windows of 2,048 tokens of
    NQ-open, here they are the calibration facts. **exact**, arXiv 2503.02659.

    Attributes:
        variant: `v1` trains A and B. `v2` keeps A as it starts: as long as inputs lie outside the
            span of Q, outputs do not change. `zero` starts at A_0 = Q^T and B_0 = 0 instead.
    """

    variant: Literal["v1", "v2", "zero"] = "v1"

    paper = "2503.02659"
    variants = "pack=0 is a variant: one text a sample, not the code's windows"
    learning_rate = 5e-4

    @property
    def frozen(self) -> str:  # type: ignore[override]
        """The factor that stays as it starts."""
        return "A" if self.variant == "v2" else ""

    def of_input(self, name: str, *sets: Covariances) -> Tensor:
        """Return Q of an input; targets whose smaller side is below r use its last columns."""
        return eigenvectors(sets[0].matrices[name], self.r, End.SMALLEST)

    def factors(self, shared: Tensor, weight: Tensor) -> Factors:
        """Return what Q cuts out of W."""
        Q = shared[:, -min(self.r, *weight.shape) :].to(weight.device)
        cut = null_factors if self.variant == "zero" else right_factors
        return cut(weight, Q, self.scale)
