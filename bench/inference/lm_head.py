"""Logits only at the positions that need them: with a large vocabulary, a fifth of a pass.

The output head runs inside the model, so that prompt adapters and logit caps or scales apply, which
calling the head directly would skip.
"""

from __future__ import annotations

from functools import lru_cache
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
    return logits_at(model, _last(inputs["input_ids"].device), **inputs)[:, 0]


@lru_cache(maxsize=16)
def _last(device: torch.device) -> Tensor:
    """Return the last position; made once, because it would be a transfer for each token."""
    return torch.tensor([-1], device=device)
