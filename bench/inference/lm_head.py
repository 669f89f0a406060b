"""Logits at the positions that are needed alone: a large vocabulary's are a fifth of a pass.

The output head runs inside the model, so that prompt adapters and logit caps or scales apply,
which calling the head by hand would skip.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench.models.capabilities import takes
from bench.models.device_map import is_divided
from bench.optimizations import Optimization, enabled


def logits_at(model: nn.Module, kept: Tensor, **inputs: Any) -> Tensor:
    """Return the logits at some positions, `[batch, kept, vocabulary]`.

    Args:
        model: A base or any adapted model.
        kept: The positions, `[kept]`, counted from the end; they are the same in all rows.
        inputs: What the model's forward pass is given.
    """
    # The tensor, not a count of the last positions: with that transformers slices the states,
    # and a product with what is not contiguous takes twice as long.
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
