"""A penalty on leaving the base's predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.own_texts import OwnTextPenalty, predictions
from methods.parts import strategy

if TYPE_CHECKING:
    from torch import Tensor, nn


@strategy("kl")
@dataclass(frozen=True)
class Kl(OwnTextPenalty):
    """Penalise how far predictions move away from the base's on its own texts.

    weight KL(p || q) is added to the loss of each step, the mean over tokens in nats, where p and q
    `[vocabulary]` are what base and tuned model predict. It is 0 for a start at the base. The texts
    are sampled once from the untouched base, and none is among those of the drift measure. Ours:
    **exact** by definition; steps are those without it, so weight=0 is the control.
    """

    def divergence(self, tuned: Tensor, base: nn.Module, texts: Tensor) -> Tensor:
        """Return the mean KL(base || tuned) over all tokens."""
        import torch

        with torch.no_grad():
            p = torch.log_softmax(predictions(base, texts, tuned.shape[1]), dim=-1)
        return (p.exp() * (p - torch.log_softmax(tuned, dim=-1))).sum(-1).mean()
