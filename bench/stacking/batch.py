"""One pass over facts of all members, whose shape is the same for each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.inference.lm_head import logits_at
from bench.models.capabilities import takes


@dataclass(frozen=True)
class StackedBatch:
    """A pass that is ready to run, with everything on the device of the model.

    Attributes:
        tokens: Token ids, `[rows, seq]`: as many rows for each member, or one tree.
        positions: The position of each token of a tree, `[rows, seq]`; None for rows.
        mask: For rows which tokens are there, `[rows, seq]`; for trees which tokens each one sees,
            `[members, seq, seq]`, both bool.
        sources: Which stored state each token has, `[rows, seq]`, see `FrozenPrefix.at`.
        kept: The positions whose logits are needed, negative, `[kept]`.
        places: Which of these logits predict each label, as an index into `[rows * kept]`,
            `[members, facts, labels]`.
        labels: The token to predict, `[members, facts, labels]`.
        counted: Which labels there are, bool, in the same shape.
        shares: What the loss of each fact counts, float32 `[members, facts]`.
    """

    tokens: Tensor
    positions: Tensor | None
    mask: Tensor
    sources: Tensor
    kept: Tensor
    places: Tensor
    labels: Tensor
    counted: Tensor
    shares: Tensor

    @property
    def size(self) -> int:
        """Number of tokens the model computes on, padding included."""
        return self.tokens.numel()

    def logits(self, model: nn.Module, dtype: torch.dtype) -> Tensor:
        """Return the logits at the kept positions, `[rows * kept, vocabulary]`.

        Args:
            model: The stacked model.
            dtype: The dtype of its base.
        """
        inputs: dict[str, Any] = {"input_ids": self.tokens}
        if takes(model, "use_cache"):
            inputs["use_cache"] = False
        if self.positions is None:
            inputs["attention_mask"] = self.mask.long()
        else:
            seen = torch.zeros(self.mask.shape, dtype=dtype, device=self.mask.device)
            seen.masked_fill_(~self.mask, torch.finfo(dtype).min)
            inputs |= {"attention_mask": seen[:, None], "position_ids": self.positions}
        return logits_at(model, self.kept, **inputs).flatten(0, 1)

    def fact_losses(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean cross-entropy and the accuracy over the target tokens of each fact.

        Args:
            logits: What the method `logits` returned.

        Returns:
            The loss in nats per token and the accuracy, float32 `[members, facts]`.
        """
        found = logits.float().log_softmax(-1)[self.places, self.labels]
        # Not a product with `counted`: the states of padding may be infinite.
        losses = -found.masked_fill(~self.counted, 0.0).sum(2) / self._targets
        return losses, self.hits(logits)

    def hits(self, logits: Tensor) -> Tensor:
        """Return the accuracy of each fact, as `fact_losses` does."""
        right = (logits.argmax(-1)[self.places] == self.labels) & self.counted
        return right.sum(2) / self._targets

    @property
    def _targets(self) -> Tensor:
        """The target tokens of each fact, 1 for padding, `[members, facts]`."""
        return self.counted.sum(2).clamp(min=1)
