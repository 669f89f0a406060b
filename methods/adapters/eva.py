"""EVA: explained variance adaptation."""

from __future__ import annotations

from dataclasses import dataclass

from methods.covariance import input_covariances
from methods.explained_variance import explained_start
from methods.lora_family import FactoredLora, Start
from methods.parts import Setting, adapter
from tasks.errors import UsageError


@adapter("eva")
@dataclass(frozen=True)
class Eva(FactoredLora):
    """LoRA whose A starts along the main directions of each layer's inputs.

    A = V_r^T `[r, d_in]` of a layer's inputs, X - mean(X) = U S V^T. The more its directions
    explain, the more of them it gets; B = 0. All texts are measured. **exact**, arXiv 2410.07170.

    Attributes:
        rho: A layer gets up to rho times r directions, or none; with 1 it gets r.
    """

    rho: float = 2.0
    paper, needs_one_device, reads_weights = "2410.07170", True, False
    needs_data = "inputs on training facts"

    def check(self) -> None:
        """Refuse values that no model can take."""
        super().check()
        if self.rho < 1:
            raise UsageError(f"rho={self.rho}: it must be at least 1, which gives each layer r")

    def prepare(self, setting: Setting) -> Start:
        """Return A and B = 0 of every target that gets a rank, from all training facts."""
        measured = input_covariances(setting.model, setting.calibration_batches(), scaled=False)
        return explained_start(measured, self.targets(setting), self.r, self.rho)
