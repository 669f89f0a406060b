"""Training on what the base says, beside the facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.own_texts import OwnTextPenalty
from methods.parts import strategy

if TYPE_CHECKING:
    from torch import Tensor, nn


@strategy("self_distill")
@dataclass(frozen=True)
class SelfDistill(OwnTextPenalty):
    """Train the base's own texts beside the facts, token by token.

    -weight log q(y) is added to the loss of each step, the mean over tokens y that the base sampled
    from its own p; q `[vocabulary]` is what the tuned model predicts. In expectation its gradient
    is that of `kl`, but for the end of text, which is never sampled; it needs no pass of the base
    in each step. Ours: **exact** by definition; steps are those without it, so weight=0 is the
    control.
    """

    def divergence(self, tuned: Tensor, base: nn.Module, texts: Tensor) -> Tensor:
        """Return the mean cross-entropy of the sampled tokens."""
        from torch.nn import functional

        tokens = texts[:, -tuned.shape[1] :].to(tuned.device)
        return functional.cross_entropy(tuned.flatten(0, 1), tokens.flatten())
