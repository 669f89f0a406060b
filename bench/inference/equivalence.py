"""Whether a shortcut gives the plain path's logits: it is measured before it is taken."""

from __future__ import annotations

import torch
from torch import Tensor

ROOTS = 3
"""So many square roots of the dtype's precision two logits may differ by: 1e-3 in float32."""


def logits_agree(found: Tensor, expected: Tensor) -> bool:
    """Return whether logits differ by what the order of sums does, and no more.

    Args:
        found: Logits of the shortcut.
        expected: Logits of the plain path, of the same shape.
    """
    tolerance = ROOTS * torch.finfo(expected.dtype).eps ** 0.5
    scale = max(1.0, float(expected.abs().max()))
    return float((found - expected).abs().max()) < tolerance * scale
