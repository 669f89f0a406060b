"""Logits only at the positions that need them: with a large vocabulary, a fifth of a pass.

The output head runs inside the model, so that prompt adapters and logit caps or scales apply, which
calling the head directly would skip.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench.models.capabilities import takes
from bench.models.device_map import is_divided
from bench.optimizations import Optimization, enabled


def logits_at(model: nn.Module, kept: Tensor, **inputs: Any) -> Tensor:
    """Return the logits at chosen positions, `[batch, kept, vocabulary]`.

    Args:
        model: A base or any adapted model.
        kept: The positions in every row, negative as counted from the end, `[kept]`.
        inputs: Arguments of the model's forward pass.
    """
    # The tensor, not a number of last positions: for a number transformers slices the states, and
    # a product with a tensor that is not contiguous takes twice as long.
    if takes(model, "logits_to_keep") and enabled(Optimization.KEPT_POSITIONS):
        if is_divided(model):  # the head may be on another device than the positions
            count = -int(kept.min())
            return model(**inputs, logits_to_keep=count).logits[:, kept]
        return model(**inputs, logits_to_keep=kept).logits
    return model(**inputs).logits[:, kept]


def last_logits(model: nn.Module, **inputs: Any) -> Tensor:
    """Return the logits at the last position, `[batch, vocabulary]`."""
    last = torch.tensor([-1], device=inputs["input_ids"].device)
    return logits_at(model, last, **inputs)[:, 0]
