"""LoRA-GA: low-rank adaptation with gradient approximation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.decomposition import Factors
from methods.gradient_starts import FromGradient
from methods.lora_family import Start
from methods.parts import Setting, adapter
from methods.subspaces import leading_triplets

if TYPE_CHECKING:
    from torch import Tensor

GAMMA = 16


@adapter("lora_ga")
@dataclass(frozen=True)
class LoraGa(FromGradient):
    """LoRA that starts from the gradient, so that it moves like full fine-tuning.

    With the mean gradient G = U S V^T of each weight it starts at A_0 = V_1^T `[r, d_in]`, of the r
    largest directions, and B_0 = c U_2 S_2 `[d_out, r]`, of the next r, with c = d_out^(1/4) / 4,
    and trains W' = W + s (B A - B_0 A_0). That is what PEFT computes by `ArB2r` and `stable`. The
    paper's code, `form=paper`, leaves S out and has c on both sides: A_0 = c V_1^T, B_0 = c U_2.
    **exact**, arXiv 2407.05000.

    Attributes:
        form: `peft` for the start of PEFT 0.21.2, `paper` for that of the paper's code.
    """

    form: Literal["peft", "paper"] = "peft"

    paper, learning_rate = "2407.05000", 1e-3
    variants = "form=peft is PEFT's start, which keeps the gradient's singular values"

    def prepare(self, setting: Setting) -> Start:
        """Measure the mean gradients on the training facts and decompose them."""
        return self.from_gradients(setting, lambda G, W: self.factors(G))

    def factors(self, gradient: Tensor) -> Factors:
        """Return A_0 and B_0; where G has less than 2r directions, B_0 takes its last r."""
        rank, scale = min(self.r, *gradient.shape), len(gradient) ** 0.25 / GAMMA**0.5
        U, S, V = leading_triplets(gradient, 2 * rank)
        A, B = V[:, :rank].T, scale * U[:, -rank:]
        A, B = (scale * A, B) if self.form == "paper" else (A, B * S[-rank:])
        return Factors(B.float().contiguous(), A.float().contiguous())
