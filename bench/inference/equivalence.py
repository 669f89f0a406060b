"""Checks that an optimization gives the logits of plain code before it is relied on."""

from __future__ import annotations

import torch
from torch import Tensor

ROOTS = 3
"""Logits may differ by this many square roots of the dtype's precision: 1e-3 in float32."""


def logits_agree(found: Tensor, expected: Tensor) -> bool:
    """Return whether logits differ no more than a different order of summation explains.

    Args:
        found: Logits of the optimization.
        expected: Logits of plain code, with the same shape.
    """
    tolerance = ROOTS * torch.finfo(expected.dtype).eps ** 0.5
    scale = max(1.0, float(expected.abs().max()))
    return float((found - expected).abs().max()) < tolerance * scale
