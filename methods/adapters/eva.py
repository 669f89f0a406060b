"""EVA: a start along the directions that a layer's inputs take most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from methods.covariance import input_covariances
from methods.lora_family import LoraFamily
from methods.parts import Setting, adapter
from methods.targets import linear_names


@adapter("eva")
@dataclass(frozen=True)
class Eva(LoraFamily):
    """B = 0, A = V_r^T `[r, d_in]` of the inputs X = U S V^T. **exact** with rho = 1, 2410.07170.

    X `[tokens, d_in]` on the training facts, not centred; V are the eigenvectors of X^T X.
    """

    paper, needs_one_device = "2410.07170", True

    def prepare(self, setting: Setting) -> dict[str, Any]:
        """Return A of every target."""
        import torch

        self.check_rank(setting)
        found = input_covariances(setting.model, setting.calibration_batches(), scaled=False)
        V = {name: torch.linalg.eigh(C.double())[1].flip(1) for name, C in found.matrices.items()}
        targets = linear_names(setting.model, setting.layers)
        return {name: V[found.input_of(name)][:, : self.r].T for name in targets}

    def attach(self, setting: Setting, prepared: dict[str, Any]) -> Any:
        """Inject B = 0 and A."""
        model: Any = super().attach(setting, prepared)
        for name, A in prepared.items():
            lora_A = model.get_submodule(f"base_model.model.{name}.lora_A.default")
            lora_A.weight.data.copy_(A)
        return model
