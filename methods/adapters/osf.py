"""OSF: orthogonal subspace fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from methods.parts import Setting, adapter
from methods.peft_adapter import PeftAdapter, attach_config
from methods.targets import Modules, is_transposed, sides_of, targets_of
from tasks.errors import UsageError
from tasks.notation import YOUNGER

if TYPE_CHECKING:
    from torch import nn


@adapter("osf")
@dataclass(frozen=True)
class Osf(PeftAdapter):
    """Trains the smaller singular directions of each weight, beside the larger.

    W' = U_h S_h V_h^T + U S V^T: the k largest directions are frozen. The n others, U `[d_out, n]`,
    S `[n]` and V `[d_in, n]`, are trained from where they are; what of their gradients lies along
    U_h and V_h is left out. **exact**, arXiv 2504.07097, by PEFT's own tuner.

    Attributes:
        frozen: k over the smaller side of a weight, above 0 and below 1.
        modules: See `lora`.
    """

    frozen: float = 0.5
    modules: Modules = field(default=Modules.ALL, metadata=YOUNGER)

    paper, learning_rate, reads_weights = "2504.07097", 1e-4, True
    trains = "U, S and V of the smaller directions"

    def check(self) -> None:
        """Refuse a share that leaves nothing to freeze or to train."""
        if not 0 < self.frozen < 1:
            raise UsageError(f"frozen={self.frozen}: it must be above 0 and below 1")

    def attach(self, setting: Setting, prepared: Any) -> nn.Module:
        """Split the weight of every target."""
        from peft import OSFConfig

        targets = targets_of(setting.model, setting.layers, self.modules)
        if odd := next((name for name, linear in targets.items() if is_transposed(linear)), None):
            raise UsageError(f"osf does not run on '{odd}', which stores its weight transposed")
        sides = {name: sides_of(linear) for name, linear in targets.items()}
        kept = {f"^{name}$": min(pair) - self.trained_rank(*pair) for name, pair in sides.items()}
        config = OSFConfig(task_type="CAUSAL_LM", target_modules=list(targets), rank_pattern=kept)
        return attach_config(setting, config)

    def trained_rank(self, d_out: int, d_in: int) -> int:
        """Return n, the number of directions of a weight that are trained."""
        return min(d_out, d_in) - max(1, int(self.frozen * min(d_out, d_in)))
