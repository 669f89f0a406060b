"""CorDA: context-oriented decomposition adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.calibrated import TwoModes
from methods.decomposition import (
    Factors,
    corda_factors,
    damped_covariance,
    reference_corda_factors,
)
from methods.parts import adapter

if TYPE_CHECKING:
    from torch import Tensor

    from methods.covariance import Covariances


@adapter("corda")
@dataclass(frozen=True)
class Corda(TwoModes):
    """LoRA that starts from an SVD of each weight times its input covariance.

    With C `[d_in, d_in]` the covariance of a layer's inputs over calibration facts and
    SVD(W C) = U S V^T, it starts at B_0 = U_r sqrt(S_r / s) `[d_out, r]` and
    A_0 = sqrt(S_r / s) (V^T C^-1)_r `[r, d_in]`, and trains W' = W + s (B A - B_0 A_0). C is the
    mean of X^T X over samples, each divided by |max(X)|. A sample is a window of packed texts, as
    in the reference code: B A does not depend on the scale of C, but |A| / |B| does, and with it
    which of the two trains. **exact**, arXiv 2406.05223; `pack=0` is a variant.

    Attributes:
        mode: `kpm` preserves knowledge: it trains the r smallest directions and calibrates on what
            must be kept (`calibration=auto`: the run's forgetting tasks). `ipm` previews the task:
            it trains the r largest and calibrates on what is learned (`auto`: the training facts).
        calibration: `auto`, `train` (the training facts) or the name of a knowledge task.
        samples: The largest number of calibration facts; without it as many as have 16,384 tokens,
            or all.
        pack: Tokens per window, at most the model's context; the last window may be shorter. With 0
            each text is a sample: about a hundred times fewer tokens a sample, so that |A| / |B| is
            larger by as much. No learning rate carries over between the two.
        precision: `float64`, or `reference` for PEFT's own arithmetic in float32.
    """

    precision: Literal["float64", "reference"] = "float64"

    paper = "2406.05223"
    variants = "pack=0 is a variant: one text a sample, not the reference's windows"
    learning_rate = 2e-4

    def of_input(self, name: str, *sets: Covariances) -> Tensor:
        """Return the damped C of an input."""
        return damped_covariance(sets[0].matrices[name])

    def factors(self, shared: Tensor, weight: Tensor) -> Factors:
        """Return what the SVD of W C gives for W."""
        decompose = reference_corda_factors if self.precision == "reference" else corda_factors
        return decompose(weight, shared.to(weight.device), self.r, self.scale, self.end)
