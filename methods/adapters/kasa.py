"""KaSA: knowledge-aware singular-value adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from methods.lora_family import LoraFamily
from methods.parts import Setting, adapter
from methods.peft_training import penalty
from methods.targets import is_transposed, sides_of
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn


@adapter("kasa")
@dataclass(frozen=True)
class Kasa(LoraFamily):
    """LoRA in the form of an SVD, on weights without their smallest directions.

    W' = W_k + s B diag(d) A with W_k the weight `[d_out, d_in]` without its r smallest singular
    directions, B = 0, and A and d `[r]` drawn; the loss gets beta |d|^2 + gamma (|B^T B - I| +
    |A A^T - I|) for each layer. It is **not the base at the start**. **exact**, arXiv 2412.06071,
    by PEFT's own variant.

    Attributes:
        beta: Weight of the penalty on d, at least 0.
        gamma: Weight of the penalty on B and A that are not orthonormal, at least 0.
    """

    beta: float = 1e-4
    gamma: float = 1e-3

    paper, learning_rate, reads_weights = "2412.06071", 1e-3, True
    starts_as_base = False
    copies_weights = True
    trains = "A, B and d"

    def check(self) -> None:
        """Refuse values that no model can take."""
        super().check()
        if min(self.beta, self.gamma) < 0:
            raise UsageError(f"beta={self.beta}, gamma={self.gamma}: both must be at least 0")

    @property
    def options(self) -> dict[str, Any]:  # type: ignore[override]
        """PEFT's configuration of the variant."""
        return {"kasa_config": {"beta": self.beta, "gamma": self.gamma}}

    def ranks(self, setting: Setting) -> dict[str, int]:
        """Return r, or less where a direction of the weight would not be left."""
        found = self.targets(setting)
        if odd := next((name for name, linear in found.items() if is_transposed(linear)), None):
            raise UsageError(f"kasa does not run on '{odd}', which stores its weight transposed")
        left = {name: min(sides_of(linear)) - 1 for name, linear in found.items()}
        return {name: min(self.r, rank) for name, rank in left.items() if rank}

    def extra_loss(self, model: nn.Module) -> Tensor | None:
        """Return the penalties of all layers."""
        return penalty(model)
