"""What starts from gradients share: which facts are measured, and the factors of every target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.lora_family import FactoredLora, Start
from methods.notes import Notes, note
from methods.parts import Setting
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from methods.decomposition import Factors


@dataclass(frozen=True)
class FromGradient(FactoredLora):
    """LoRA that starts from the mean gradient of each weight over the training facts.

    Attributes:
        samples: The largest number of training facts whose gradients are averaged, chosen by a
            fixed hash; none means all.
    """

    samples: int | None = 64

    needs_one_device = True
    needs_data = "gradients on training facts"

    def check(self) -> None:
        """Refuse values that no model can take."""
        super().check()
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"samples={self.samples}: at least one training fact is needed")

    def from_gradients(
        self, setting: Setting, factors: Callable[[Tensor, Tensor], Factors]
    ) -> Start:
        """Return the factors of every target.

        Args:
            setting: The cell.
            factors: Computes them from the mean gradient and the weight, both `[d_out, d_in]`.
        """
        found = setting.signals.gradient(setting.facts, self.samples)

        def of_target(G: Tensor, W: Tensor) -> Factors:
            return factors(G.to(W.device), W)

        start = self.decompose(setting, of_target, of_input=found.matrices.__getitem__)
        return Start(start.factors, (*start.notes, GradientNotes(found.samples)))


@dataclass(frozen=True)
class GradientNotes(Notes):
    """How much data a mean gradient was measured on.

    Attributes:
        gradient_rows: Number of rows: facts in each context that training sees, or windows.
    """

    gradient_rows: int | None = note()
