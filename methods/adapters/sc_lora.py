"""SC-LoRA: subspace-constrained LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.calibrated import CalibratedLora
from methods.decomposition import Factors
from methods.parts import Setting, adapter
from methods.projections import left_factors, output_directions
from methods.subspaces import End
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from methods.covariance import Covariances


@adapter("sc_lora")
@dataclass(frozen=True)
class ScLora(CalibratedLora):
    """LoRA that starts where the task's outputs vary and those to keep do not.

    With Q `[d_out, r]` the eigenvectors of the r largest eigenvalues of
    (1 - beta) Cov_task - beta Cov_keep, covariances of a layer's outputs per token on the training
    facts and on what must be kept (`calibration`), it starts at B_0 = Q and A_0 = Q^T W / s, and
    trains W' = W + s (B A - B_0 A_0). **exact** in its form, arXiv 2505.23724. A
    negative eigenvalue may be among the r largest where beta is large.

    Attributes:
        beta: The weight of what must be kept, from 0 to 1. The paper's default is **open**: it
            could not be read; others use 0.5.
        centred: Whether means are taken from the outputs first. **Open** in what could be read.
    """

    beta: float = 0.5
    centred: bool = False

    paper = "2505.23724"
    learning_rate = 2e-4
    covariance_sets = 2

    def check(self) -> None:
        """Refuse a beta that is no share, and knowledge that is the training facts."""
        super().check()
        if not 0 <= self.beta <= 1:
            raise UsageError(f"beta={self.beta}: it must be at least 0 and at most 1")
        if self.calibration == "train":
            raise UsageError("calibration=train: sc_lora keeps other facts: name a knowledge task")

    def measure(self, setting: Setting) -> tuple[Covariances, ...]:
        """Return the covariances on the training facts and on what must be kept."""
        both = [self.facts_of(setting, knowledge=knowledge) for knowledge in (False, True)]
        covariance, chosen = setting.signals.covariance, (self.samples, self.pack)
        return tuple(covariance(facts, *chosen, scaled=False) for facts in both)

    def of_input(self, name: str, *sets: Covariances) -> Tensor:
        """Return the difference of the covariances of an input, float64 `[d_in, d_in]`."""
        task, keep = (one.per_token(one.input_of(name), centred=self.centred) for one in sets)
        return (1 - self.beta) * task - self.beta * keep

    def factors(self, shared: Tensor, weight: Tensor) -> Factors:
        """Return what Q cuts out of W."""
        Q = output_directions(weight, shared, min(self.r, *weight.shape), End.LARGEST)
        return left_factors(weight, Q, self.scale)
