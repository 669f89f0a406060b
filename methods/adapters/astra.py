"""Astra: activation-space tail-eigenvector low-rank adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.calibrated import TwoModes
from methods.decomposition import Factors
from methods.parts import adapter
from methods.projections import left_factors, output_directions

if TYPE_CHECKING:
    from torch import Tensor


@adapter("astra")
@dataclass(frozen=True)
class Astra(TwoModes):
    """LoRA that starts from the main directions of each layer's outputs.

    With Q `[d_out, r]` eigenvectors of W C W^T, the uncentred covariance of the outputs, it starts
    at B_0 = Q and A_0 = Q^T W / s, and trains W' = W + s (B A - B_0 A_0). **exact**,
    arXiv 2602.19111, from its code, up to what a sample counts: there each is the first item of a
    batch, padding and bias included, divided by |max| of its outputs; here it is a window of packed
    texts without padding and bias, divided by |max| of its inputs. Of one sample both Q agree.

    Attributes:
        mode: `ipm` takes the r largest eigenvalues and calibrates on what is learned
            (`calibration=auto`: the training facts). `kpm` takes the r smallest, null directions
            included, and calibrates on what must be kept (`auto`: the run's forgetting tasks). So
            the code has it; the paper's text speaks of the tail.
    """

    mode: Literal["kpm", "ipm"] = "ipm"

    paper = "2602.19111"
    variants = "a sample is a window of packed texts; the code's is one item"
    learning_rate = 2e-4

    def factors(self, shared: Tensor, weight: Tensor) -> Factors:
        """Return what Q cuts out of W."""
        Q = output_directions(weight, shared, min(self.r, *weight.shape), self.end)
        return left_factors(weight, Q, self.scale)
