"""EVA: explained variance adaptation, for the paper's rho = 1: the same rank in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from methods.covariance import input_covariances
from methods.lora_family import LoraFamily
from methods.parts import Setting, adapter


@adapter("eva")
@dataclass(frozen=True)
class Eva(LoraFamily):
    """LoRA whose A starts along the main directions of each layer's inputs.

    A = V_r^T `[r, d_in]` of the uncentred inputs X = U S V^T; B = 0. **exact**, arXiv 2410.07170.
    """

    paper, needs_one_device, seed_free = "2410.07170", True, True

    def prepare(self, setting: Setting) -> dict[str, Any]:
        """Return A `[r, d_in]` of every target, the top eigenvectors of X^T X, on the CPU."""
        import torch

        found, V = input_covariances(setting.model, setting.calibration_batches(), scaled=False), {}
        for name, C in found.matrices.items():
            V[name] = torch.linalg.eigh(C.double())[1].flip(1)[:, : self.r].clone().cpu()
        return {n: V[found.input_of(n)][:, :rank].T for n, rank in self.ranks(setting).items()}

    def attach(self, setting: Setting, prepared: dict[str, Any]) -> Any:
        """Add B = 0 and A to every target."""
        model: Any = super().attach(setting, prepared)
        for name, A in prepared.items():
            lora_A = model.get_submodule(f"base_model.model.{name}.lora_A.default")
            lora_A.weight.data.copy_(A)
        return model
